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

  ## What the words leave open

    * With `{:workspace, dir}` the program may change attributes of files, as compilers, git and tar
      must: mode, times, extended attributes and group (`allow: [:attributes]` of
      erluv-protocol(7)). The kernel cannot hold it to the workspace there: this is open for every
      file that the program's user owns, wherever it lies. The contents of these files stay
      closed to the program, but it can let other users read and write them. Under an erluv
      that root started, the user is nobody. `:read_only` denies attributes as well.
    * Without `:no_network`, a program that runs as the VM's own user, which it does unless root
      started erluv, can read `~/.erlang.cookie`, connect to the node, and have the VM write what
      the program may not.
    * With `:no_network` too, it can use the named Unix sockets that its user may use: a service behind
      one (systemd's of the user, D-Bus, Docker, an SSH agent) does what it is told. Only another
      user closes this: the setting `user` or `allow_users` of erluv.conf(5).
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
  def expand(words) do
    case presets(words) do
      [] -> words
      presets -> presets |> Enum.map(&one/1) |> Enum.reduce(&merge/2)
    end
  end

  @doc false
  # What the words stand for in the option :allow. The filter that keeps a program from
  # attributes cannot tell which file is meant, so a workspace has them everywhere.
  @spec allow(term()) :: [:attributes]
  def allow(words),
    do: if(Enum.any?(presets(words), &match?({:workspace, _}, &1)), do: [:attributes], else: [])

  # The words, or none if it is anything else.
  defp presets(words) when is_list(words) and length(words) > 0,
    do: if(Enum.all?(words, &preset?/1), do: words, else: [])

  defp presets(word), do: if(preset?(word), do: [word], else: [])

  defp preset?({:workspace, _}), do: true
  defp preset?(preset), do: preset in [:read_only, :no_network]

  defp one(:read_only), do: %{exec: ["/"], write: @devices}
  defp one(:no_network), do: %{net: :none}

  defp one({:workspace, dirs}) when is_list(dirs) and length(dirs) >= 0 do
    for dir <- dirs, not (is_binary(dir) and dir != ""), do: wrong!(dirs)
    %{exec: ["/"], write: @devices ++ Enum.map(dirs, &Path.expand/1)}
  end

  defp one({:workspace, dir}) when is_binary(dir), do: one({:workspace, [dir]})
  defp one({:workspace, other}), do: wrong!(other)

  # The empty path would be the directory of this VM.
  defp wrong!(dirs) do
    raise ArgumentError,
          "option :sandbox: a workspace is a directory or a list of them, strings that are " <>
            "not empty, got: #{inspect(dirs)}"
  end

  defp merge(one, other) do
    Map.merge(one, other, fn
      :net, :none, :none -> :none
      _, a, b -> Enum.uniq(b ++ a)
    end)
  end
end
