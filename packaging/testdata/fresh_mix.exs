# It replaces Hex, which is not installed: a dependency by version is an unpacked package.
defmodule Unpacked do
  @behaviour Mix.SCM
  alias Mix.SCM.Path

  def fetchable?, do: false
  defdelegate format(opts), to: Path
  defdelegate format_lock(opts), to: Path

  def accepts_options(app, opts) do
    unless opts[:git] || opts[:path],
      do: Path.accepts_options(app, [path: System.fetch_env!("UNPACKED") <> "/#{app}"] ++ opts)
  end

  defdelegate checked_out?(opts), to: Path
  defdelegate checkout(opts), to: Path
  defdelegate update(opts), to: Path
  defdelegate lock_status(opts), to: Path
  defdelegate equal?(opts1, opts2), to: Path
  defdelegate managers(opts), to: Path
end

Mix.SCM.append(Unpacked)

defmodule Fresh.MixProject do
  use Mix.Project

  def project do
    {deps, _} = Code.eval_string(System.fetch_env!("DEPS"))
    [app: :fresh, version: "0.1.0", deps: deps]
  end

  def application, do: [extra_applications: [:logger]]
end
