defmodule Erluv.Application do
  @moduledoc false
  # Makes the VM a node before any code of the user runs, where the first call would do so.
  #
  # A pid that was taken before the VM has a name is no pid of this node afterwards. The compiler
  # of Elixir has one for each file, and keeps it: in the middle of a file, that file does not
  # compile any more.

  use Application

  alias Erluv.PortWorker

  @impl true
  def start(_type, _args) do
    # Where it fails the first call says why.
    if early?(), do: :erluv_distribution.ensure()
    Supervisor.start_link([], strategy: :one_for_one)
  end

  defp early? do
    Application.get_env(:erluv, :start, :on_demand) == :on_demand and
      Application.get_env(:erluv, :distribution, :local) == :local and
      not Node.alive?() and not stands_in?() and length(files()) <= files_of_mix()
  end

  defp stands_in? do
    PortWorker.stands_in?()
  rescue
    # The first call says it.
    ArgumentError -> true
  end

  # What is being compiled or evaluated, in which this start may be: `Mix.install` starts it so.
  # The first call may come after the modules of such a script.
  defp files do
    for pid <- Process.list(),
        {:dictionary, dictionary} <- [Process.info(pid, :dictionary)],
        dictionary[:"$initial_call"] == {Kernel.LexicalTracker, :init, 1},
        do: pid
  end

  # mix itself is a script, which has no module. The project of Mix.install is none of its own.
  defp files_of_mix do
    if Process.whereis(Mix.State) != nil and Mix.Project.get() not in [nil, Mix.InstallProject],
      do: 1,
      else: 0
  end
end
