defmodule ErluvEx.MixProject do
  use Mix.Project

  # packaging/hex writes what follows anew, up to the links: a package for Hex has nothing
  # beside it, and no dependency by path. The version is that of the application.
  @version Path.join(__DIR__, "../erlang/src/erluv.app.src")
           |> File.read!()
           |> then(&Regex.run(~r/{vsn, "(.+)"}/, &1, capture: :all_but_first))
           |> hd()
  @deps [{:erluv, path: "../erlang"}]
  @links %{}

  def project do
    [
      app: :erluv_ex,
      version: @version,
      description: "Programs of the operating system as streams, commands and daemons",
      elixir: "~> 1.14",
      elixirc_paths: if(Mix.env() == :test, do: ["lib", "test/support"], else: ["lib"]),
      deps: @deps,
      package: package(),
      docs: docs()
    ]
  end

  def application do
    [mod: {Erluv.Application, []}, extra_applications: [:logger]]
  end

  defp package do
    [
      licenses: ["Apache-2.0"],
      links: @links,
      files: ["lib", "guides", "mix.exs", "README.md", "CHANGELOG.md", "LICENSE"]
    ]
  end

  # Paths are those of the package.
  defp docs do
    [
      main: "readme",
      extras: [
        "README.md",
        "guides/from-muontrap.md",
        "guides/from-exile.md",
        "guides/agents.md",
        "guides/tunnel.livemd",
        "guides/containers.md",
        "guides/operating.md",
        "guides/nodes.md",
        "guides/fleet.md",
        "guides/cluster.md",
        "guides/security.md",
        "guides/reliability.md",
        "guides/architecture.md",
        "guides/journal.md",
        "guides/containment.md",
        "guides/decisions.md",
        "guides/performance.md",
        "CHANGELOG.md",
        "LICENSE"
      ],
      groups_for_extras: [
        Guides: ~r{^guides/(from-|agents|containers|operating|nodes|fleet|cluster|tunnel)},
        Explanations:
          ~r{^guides/(security|reliability|architecture|journal|containment|decisions|performance)}
      ],
      groups_for_modules: [
        "Running programs": [Erluv, Erluv.Daemon, Erluv.Fleet, Erluv.Host, Erluv.Sandbox],
        "Looking at them": [Erluv.Telemetry, Erluv.LiveDashboard.Page],
        Errors: [Erluv.Error, Erluv.ExitError]
      ]
    ]
  end
end
