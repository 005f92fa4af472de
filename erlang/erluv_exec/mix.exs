defmodule Mix.Tasks.Compile.ErluvExec do
  # Puts the documentation into what the compiler of Erlang has made.
  use Mix.Task.Compiler

  @impl true
  def run(_args) do
    Mix.Task.Compiler.after_compiler(:erlang, &document/1)
    {:noop, []}
  end

  defp document({:ok, diagnostics}) do
    env = [{"EBIN", Mix.Project.compile_path()}]

    case Mix.shell().cmd("../document src \"$EBIN\"", cd: __DIR__, env: env) do
      0 -> {:ok, diagnostics}
      _ -> {:error, diagnostics}
    end
  end

  defp document(other), do: other
end

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
      compilers: [:erluv_exec] ++ Mix.compilers(),
      erlc_options: [:debug_info],
      deps: [{:erluv, path: ".."}]
    ]
  end

  def application do
    Keyword.take(@resource, [:registered, :env])
  end
end
