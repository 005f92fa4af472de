defmodule Mix.Tasks.Compile.ErluvExec do
  # Puts the documentation into what the compiler of Erlang has made.
  use Mix.Task.Compiler

  @impl true
  def run(_args) do
    unless match?({:win32, _}, :os.type()),
      do: Mix.Task.Compiler.after_compiler(:erlang, &document/1)

    {:noop, []}
  end

  defp document({:ok, diagnostics}) do
    env = [{"EBIN", Mix.Project.compile_path()}]

    case Mix.shell().cmd("escript ../document src \"$EBIN\"", cd: __DIR__, env: env) do
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
  # packaging/hex writes these three anew, for Hex.
  @version to_string(resource[:vsn])
  @deps [{:erluv, path: ".."}]
  @links %{}
  @external_resource Path.join(__DIR__, "src/erluv_exec.app.src")

  def project do
    [
      app: :erluv_exec,
      version: @version,
      description: to_string(@resource[:description]),
      language: :erlang,
      compilers: [:erluv_exec] ++ Mix.compilers(),
      erlc_options: [:debug_info],
      deps: @deps,
      package: package(),
      docs: [main: "readme", extras: ["README.md", "CHANGELOG.md", "LICENSE"]]
    ]
  end

  defp package do
    [
      licenses: ["Apache-2.0"],
      links: @links,
      files: [
        "src",
        "document",
        "mix.exs",
        "rebar.config",
        "README.md",
        "CHANGELOG.md",
        "LICENSE"
      ]
    ]
  end

  def application do
    Keyword.take(@resource, [:registered, :env])
  end
end
