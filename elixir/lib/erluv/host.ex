defmodule Erluv.Host do
  @moduledoc """
  The host of an erluv node, as one of many: whether it takes programs, its labels, and the
  programs that it offers. HOSTS in erluv-protocol(7) has the states and the grammar of labels.

  All functions take an erluv node, by default that of the `erluv_node` process `:erluv`, and
  return what the functions of the same names of `:erluv` do: `{:error, reason}` when it is gone.

  A program that the host offers is started by `{:class, name, args}` in the place of a command:

      :erluv.run(:"erluv_1@host", {:class, "backup", ["/srv/mail"]})
  """

  @typedoc "An erluv node, or an `erluv_node` process of this node."
  @type server :: :erluv.server()

  @typedoc "A label: its name, and keys with or without a value."
  @type label :: {String.t(), [String.t() | {String.t(), String.t()}]}

  @doc """
  Where the host stands: new workers are started in `:ready` alone.

      iex> Erluv.Host.status()
      :ready
  """
  @spec status(server()) :: :erluv.host_status() | {:error, term()}
  def status(server \\ :erluv), do: :erluv.status(server)

  @doc """
  Asks for another state: `:ready`, `:standby` or `:stopped`.

      iex> Erluv.Host.set_status(:standby)
      :ok
      iex> :erluv.run(:erluv, ["true"])
      {:error, {:node_not_ready, :standby}}
      iex> Erluv.Host.set_status(:ready)
      :ok
  """
  @spec set_status(server(), :ready | :standby | :stopped) :: :ok | {:error, term()}
  def set_status(server \\ :erluv, status), do: :erluv.status(server, status)

  @doc """
  Asks all workers to stop, starts no new ones, and returns when none is left: with those that
  were killed, since they ran after `deadline` milliseconds.

      iex> {:ok, _} = :erluv.spawn(:erluv, ["sleep", "60"])
      iex> Erluv.Host.drain(10_000)
      {:ok, []}
      iex> Erluv.Host.status()
      :stopped
      iex> Erluv.Host.set_status(:ready)
      :ok
  """
  @spec drain(server(), timeout()) :: {:ok, [pid()]} | {:error, term()}
  def drain(server \\ :erluv, deadline), do: :erluv.drain(server, deadline)

  @doc """
  The labels of the host.

      iex> Erluv.Host.update_meta("core;group=g1;master, gpu")
      :ok
      iex> Erluv.Host.meta()
      [{"core", [{"group", "g1"}, "master"]}, {"gpu", []}]
      iex> Enum.map(["core", "gpu"], &Erluv.Host.remove_meta/1)
      [:ok, :ok]
  """
  @spec meta(server()) :: [label()] | {:error, term()}
  def meta(server \\ :erluv), do: :erluv.meta(server)

  @doc """
  Puts each entry of the text in the place of the one with its name, or at the end.

      iex> Erluv.Host.update_meta("core;;")
      {:error, :invalid_tokens}
  """
  @spec update_meta(server(), String.t()) :: :ok | {:error, term()}
  def update_meta(server \\ :erluv, text), do: :erluv.meta(server, {:update, text})

  @doc """
  Removes the label of a name, if there is one.

      iex> Erluv.Host.remove_meta("none")
      :ok
  """
  @spec remove_meta(server(), String.t()) :: :ok | {:error, term()}
  def remove_meta(server \\ :erluv, name), do: :erluv.meta(server, {:remove, name})

  @doc """
  The programs that the host offers, as its configuration says.

      iex> Erluv.Host.classes()
      []
  """
  @spec classes(server()) :: [map()] | {:error, term()}
  def classes(server \\ :erluv), do: :erluv.classes(server)

  @doc """
  Puts a file on the host, and returns when all of it is there, on the disk: data, or `{:file, name}` of
  this node. The options are `:mode`, `:mkdir`, `:user` and `:size`.

  With `:memory` in the place of a path it is a program that is kept in memory, and the answer the pid
  by which a command names it, until the caller ends or calls `:erluv.stop/1` with it.

      iex> path = "/tmp/erluv-example-#{System.pid()}"
      iex> {:ok, %{size: 5}} = Erluv.Host.put_file("hello", path, mode: 0o600)
      iex> {:ok, tool} = Erluv.Host.put_file({:file, "/bin/echo"}, :memory, [])
      iex> {:ok, %{stdout: "hi"}} = :erluv.run(:erluv, [{:memory, tool}, "-n", "hi"])
      iex> :erluv.stop(tool)
      :ok
      iex> Erluv.Host.put_file("", "/no/such/directory/file", mkdir: false)
      {:error, :enoent}
  """
  @spec put_file(server(), :erluv.source(), String.t() | :memory, :erluv.put_options()) ::
          {:ok, %{size: non_neg_integer(), sha256: binary()}} | {:ok, pid()} | {:error, term()}
  def put_file(server \\ :erluv, source, path, options),
    do: :erluv.put_file(server, source, path, options)
end
