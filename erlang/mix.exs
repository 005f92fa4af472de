defmodule Erluv.Application.MixProject do
  # So that a Mix project has the application by its path, without rebar3.
  use Mix.Project

  {:ok, [{:application, :erluv, resource}]} =
    :file.consult(Path.join(__DIR__, "src/erluv.app.src"))

  @resource resource
  @external_resource Path.join(__DIR__, "src/erluv.app.src")

  def project do
    [
      app: :erluv,
      version: to_string(@resource[:vsn]),
      description: to_string(@resource[:description]),
      language: :erlang,
      erlc_options: [:debug_info],
      deps: []
    ]
  end

  def application do
    Keyword.take(@resource, [:mod, :registered, :env])
  end
end
