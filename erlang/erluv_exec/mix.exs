defmodule ErluvExec.MixProject do
  # So that a Mix project has the application by its path, without rebar3.
  use Mix.Project

  {:ok, [{:application, :erluv_exec, resource}]} =
    :file.consult(Path.join(__DIR__, "src/erluv_exec.app.src"))

  @resource resource
  @external_resource Path.join(__DIR__, "src/erluv_exec.app.src")

  def project do
    [
      app: :erluv_exec,
      version: to_string(@resource[:vsn]),
      description: to_string(@resource[:description]),
      language: :erlang,
      erlc_options: [:debug_info],
      deps: [{:erluv, path: ".."}]
    ]
  end

  def application do
    Keyword.take(@resource, [:registered, :env])
  end
end
