defmodule Mix.Tasks.Compile.Erluv do
  # Puts the executable into priv, of the build, where a release finds it too, and the
  # documentation into what the compiler of Erlang has made.
  use Mix.Task.Compiler

  @impl true
  def run(_args) do
    # There is no sh either, nor an erluv.
    if match?({:win32, _}, :os.type()), do: {:noop, []}, else: make()
  end

  defp make do
    Mix.Task.Compiler.after_compiler(:erlang, &document/1)
    priv = Path.join(Mix.Project.app_path(), "priv")
    # A relative path is of the project that has the application as a dependency, in whose
    # directory this runs: that project's is where deps are.
    project = Path.dirname(Mix.Project.deps_path())

    env =
      for {binary, by} <- [
            {System.get_env("ERLUV_BIN"), "ERLUV_BIN"},
            {Application.get_env(:erluv, :binary), "binary of config :erluv"}
          ],
          binary,
          do: [{"ERLUV_BIN", Path.expand(binary, project)}, {"ERLUV_BIN_BY", by}]

    env = List.first(env, [])

    # An archive may have lost its mode.
    case Mix.shell().cmd("sh ./make-erluv \"$PRIV\"", cd: __DIR__, env: [{"PRIV", priv} | env]) do
      0 -> {:ok, []}
      _ -> {:error, []}
    end
  end

  defp document({:ok, diagnostics}) do
    env = [{"EBIN", Mix.Project.compile_path()}]

    case Mix.shell().cmd("escript ./document src \"$EBIN\"", cd: __DIR__, env: env) do
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
  # packaging/hex writes these three anew, for Hex.
  @version to_string(resource[:vsn])
  @deps []
  @links %{}
  @external_resource Path.join(__DIR__, "src/erluv.app.src")

  def project do
    [
      app: :erluv,
      version: @version,
      description: to_string(@resource[:description]),
      language: :erlang,
      compilers: [:erluv] ++ Mix.compilers(),
      erlc_options: [:debug_info],
      deps: @deps,
      package: package(),
      docs: docs()
    ]
  end

  # The executable is built from go/, which has the sources of what is linked in.
  defp package do
    [
      licenses: ["Apache-2.0", "BSD-3-Clause", "MIT"],
      links: @links,
      files:
        ["src", "make-erluv", "document", "go", "man", "guides", "mix.exs", "rebar.config"] ++
          ["README.md", "CHANGELOG.md", "LICENSE"]
    ]
  end

  # Paths are those of the package.
  defp docs do
    [
      main: "readme",
      extras: ["README.md", "guides/from-ports.md", "CHANGELOG.md", "LICENSE"],
      groups_for_extras: [Guides: ~r{^guides/}],
      groups_for_modules: [
        Programs: [:erluv, :erluv_worker, :erluv_fleet],
        "The executable": [:erluv_node],
        "Looking at them": [:erluv_telemetry]
      ]
    ]
  end

  def application do
    Keyword.take(@resource, [:mod, :registered, :env])
  end
end
