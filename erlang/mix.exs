defmodule Mix.Tasks.Compile.Erluv do
  # Puts the executable into priv, of the build, where a release finds it too, and the
  # documentation into what the compiler of Erlang has made.
  use Mix.Task.Compiler

  @impl true
  def run(_args) do
    Mix.Task.Compiler.after_compiler(:erlang, &document/1)
    priv = Path.join(Mix.Project.app_path(), "priv")
    # Of the configuration of the project that has the application as a dependency.
    binary = System.get_env("ERLUV_BIN") || Application.get_env(:erluv, :binary)
    env = if binary, do: [{"ERLUV_BIN", Path.expand(binary)}], else: []

    case Mix.shell().cmd("./make-erluv \"$PRIV\"", cd: __DIR__, env: [{"PRIV", priv} | env]) do
      0 -> {:ok, []}
      _ -> {:error, []}
    end
  end

  defp document({:ok, diagnostics}) do
    env = [{"EBIN", Mix.Project.compile_path()}]

    case Mix.shell().cmd("./document src \"$EBIN\"", cd: __DIR__, env: env) do
      0 -> {:ok, diagnostics}
      _ -> {:error, diagnostics}
    end
  end

  defp document(other), do: other
end

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
      compilers: [:erluv] ++ Mix.compilers(),
      erlc_options: [:debug_info],
      deps: []
    ]
  end

  def application do
    Keyword.take(@resource, [:mod, :registered, :env])
  end
end
