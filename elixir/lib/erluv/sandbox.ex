defmodule Erluv.Sandbox do
  @moduledoc """
  Words for the option `:sandbox`, in the place of the map that erluv-protocol(7) has.

      Erluv.cmd("make", ["test"], cd: dir, sandbox: [:no_network, workspace: dir])

    * `:read_only` - the program, and all that it starts, may read and execute what its user
      may, and write nothing but `/dev/null` and its terminal.
    * `{:workspace, dir}` - likewise, and it may write, create and remove what is below the
      directory, or the directories of a list. There is nothing else to write, `/tmp` neither: a
      program that wants it is told by `env: [{"TMPDIR", dir}]`.
    * `:no_network` - it has no sockets but those of Unix.

  One word, or a list of them. Files are confined by Landlock (Linux 6.2), the network by a
  filter of system calls. Where the kernel has it not the program is not started, and the error
  is `{:sandbox, :enotsup}`.
  """

  @devices ["/dev/null", "/dev/tty"]

  @typedoc "A word."
  @type preset() :: :read_only | :no_network | {:workspace, Path.t() | [Path.t()]}

  @doc """
  What the words stand for. Anything else is left as it is.

  ## Examples

      iex> Erluv.Sandbox.expand([:no_network, workspace: "/srv/job"])
      %{exec: ["/"], net: :none, write: ["/dev/null", "/dev/tty", "/srv/job"]}

      iex> Erluv.Sandbox.expand(%{read: ["/etc"]})
      %{read: ["/etc"]}
  """
  @spec expand(preset() | [preset()] | term()) :: term()
  def expand([_ | _] = presets) do
    if Enum.all?(presets, &preset?/1),
      do: presets |> Enum.map(&one/1) |> Enum.reduce(&merge/2),
      else: presets
  end

  def expand(preset), do: if(preset?(preset), do: one(preset), else: preset)

  defp preset?({:workspace, dirs}), do: is_binary(dirs) or is_list(dirs)
  defp preset?(preset), do: preset in [:read_only, :no_network]

  defp one(:read_only), do: %{exec: ["/"], write: @devices}
  defp one(:no_network), do: %{net: :none}

  defp one({:workspace, dirs}) do
    %{exec: ["/"], write: @devices ++ Enum.map(List.wrap(dirs), &Path.expand/1)}
  end

  defp merge(one, other) do
    Map.merge(one, other, fn
      :net, :none, :none -> :none
      _, a, b -> Enum.uniq(b ++ a)
    end)
  end
end
