defmodule Erluv.Fleet do
  @moduledoc """
  Programs on many hosts: a few control nodes, and one erluv on each host.

  It is a child for a supervisor of each control node:

      children = [{Erluv.Fleet, hold: 5_000}]

  An erluv is one of its hosts when it serves that node with `controller = "erluv_fleet"`: see
  erluv.conf(5). Control nodes that are connected with each other know each other's hosts, and run
  programs there through the one that is connected.

  A host is chosen by a filter: a map with `:status`, `:node`, `:version`, `:via`, `:class` (one that
  it offers) and `:meta` (labels), or a function that takes a host. Only a host that is `:ready` and
  has room is chosen, and its place is held from then on, so that a thousand programs that are placed at
  once are not all on one host. `:erluv_fleet` of Erlang says more of each, and of the options.

  Errors say whether something runs: with `{:unreachable, host}` nothing was started; with `{:lost,
  host}` it may have been, and the connection went.
  """

  @typedoc "A host, as `t::erluv_fleet.host/0` has it."
  @type host :: :erluv_fleet.host()

  @typedoc "Which hosts are meant."
  @type filter :: :erluv_fleet.filter()

  @typedoc "One host, or one that is chosen, by default the `:least_loaded`."
  @type where :: :erluv_fleet.where()

  @doc """
  A child for a supervisor.

      iex> %{id: :erluv_fleet, type: :supervisor} = Erluv.Fleet.child_spec(hold: 5_000)
      iex> :ok
      :ok
  """
  @spec child_spec(:erluv_fleet.options()) :: Supervisor.child_spec()
  def child_spec(options), do: :erluv_fleet.child_spec(options)

  @doc """
  Starts what a control node has of the fleet.

      iex> {:error, {:already_started, _}} = Erluv.Fleet.start_link()
      iex> {:error, {:bad_option, :hold, _}} = Erluv.Fleet.start_link(hold: :never)
      iex> :ok
      :ok
  """
  @spec start_link(:erluv_fleet.options()) :: {:ok, pid()} | {:error, term()}
  def start_link(options \\ []), do: :erluv_fleet.start_link(options)

  @doc """
  The hosts that are connected with this control node, or with one that it is connected with, and
  of which the filter holds.

      iex> [%{status: :ready, workers: 0, free: 10_000}] = Erluv.Fleet.nodes()
      iex> [%{}] = Erluv.Fleet.nodes(%{meta: %{group: "g1"}})
      iex> Erluv.Fleet.nodes(fn host -> host.free > 10_000 end)
      []
  """
  @spec nodes(filter()) :: [host()]
  def nodes(filter \\ %{}), do: :erluv_fleet.nodes(filter)

  @doc """
  Chooses a host for a program, by `:least_loaded`, `:spread`, `:random` or a function, and keeps a
  place there until the caller starts one there, ends, or the option `:hold` is over.

      iex> {:ok, node} = Erluv.Fleet.place(%{meta: %{group: "g1"}}, :spread)
      iex> {:ok, %{stdout: "hi\\n"}} = Erluv.Fleet.run(node, ["echo", "hi"])
      iex> Erluv.Fleet.place(%{class: "gpu"})
      {:error, {:none, %{class: "gpu"}}}
  """
  @spec place(filter(), :erluv_fleet.strategy()) ::
          {:ok, node()} | {:error, {:full, %{node() => non_neg_integer()}} | {:none, filter()}}
  def place(filter, strategy \\ :least_loaded), do: :erluv_fleet.place(filter, strategy)

  @doc """
  Runs a program to its end on a host that is named, or that is chosen.

      iex> {:ok, result} = Erluv.Fleet.run(%{meta: %{group: "g1"}}, ["cat"], input: "hi")
      iex> {result.exit, result.stdout}
      {{:exit_status, 0}, "hi"}
      iex> Erluv.Fleet.run(:"no_such@host", ["true"])
      {:error, {:unreachable, :"no_such@host"}}
  """
  @spec run(where(), :erluv.cmd(), :erluv.run_options()) ::
          {:ok, :erluv.result()} | {:error, term()}
  def run(where, cmd, options \\ []), do: :erluv_fleet.run(where, cmd, options)

  @doc """
  Starts a program on a host, of which the caller is sent the messages.

      iex> {:ok, worker} = Erluv.Fleet.spawn({%{}, :random}, ["cat"], packet: :line)
      iex> :erluv.write(worker, "hello\\n")
      :ok
      iex> receive do
      ...>   {^worker, {:stdout, line}} -> line
      ...> end
      "hello\\n"
      iex> {:ok, _} = :erluv.stop(worker)
      iex> :ok
      :ok
  """
  @spec spawn(where(), :erluv.cmd(), :erluv.options()) :: {:ok, pid()} | {:error, term()}
  def spawn(where, cmd, options \\ []), do: :erluv_fleet.spawn(where, cmd, options)

  @doc """
  Starts a task: a program with an id, text or an atom, that no other program in the fleet has.

  While it runs, another start is `{:error, {:already_started, worker}}`, on whatever host and from
  whatever control node. `:erluv_fleet.task/4` says what holds while control nodes do not see each other.

      iex> {:ok, worker} = Erluv.Fleet.task("nightly", %{}, ["cat"], packet: :line)
      iex> {:error, {:already_started, ^worker}} = Erluv.Fleet.task("nightly", %{}, ["cat"])
      iex> Erluv.Fleet.command("nightly", {:write, "hello\\n"})
      :ok
      iex> receive do
      ...>   {^worker, {:stdout, line}} -> line
      ...> end
      "hello\\n"
      iex> {:ok, _} = Erluv.Fleet.command("nightly", :stop)
      iex> :ok
      :ok
  """
  @spec task(:erluv_fleet.id(), where(), :erluv.cmd(), :erluv.options()) ::
          {:ok, pid()} | {:error, term()}
  def task(id, where, cmd, options \\ []), do: :erluv_fleet.task(id, where, cmd, options)

  @doc """
  The programs that are counted on a host, or on all hosts of which the filter holds.

      iex> {:ok, worker} = Erluv.Fleet.task("nightly", %{}, ["sleep", "60"])
      iex> [%{id: "nightly", cmd: ["sleep", "60"], worker: ^worker}] = Erluv.Fleet.tasks()
      iex> {:ok, _} = Erluv.Fleet.command(worker, :stop)
      iex> :ok
      :ok
  """
  @spec tasks(node() | filter()) :: [:erluv_fleet.task()]
  def tasks(where \\ %{}), do: :erluv_fleet.tasks(where)

  @doc """
  Asks a program of any host: a task by its id, or any by its pid. The requests are those of a worker in
  erluv-protocol(7), and so are the answers.

      iex> {:ok, _} = Erluv.Fleet.task("nightly", %{}, ["sleep", "60"])
      iex> Erluv.Fleet.command("nightly", {:signal, :sigcont})
      :ok
      iex> Erluv.Fleet.command("nightly", {:resize, 24, 80})
      {:error, :enotty}
      iex> Erluv.Fleet.command("nightly", :stop)
      {:ok, {:signal, :sigterm}}
      iex> Erluv.Fleet.command("weekly", :info)
      {:error, :noproc}
  """
  @spec command(:erluv_fleet.id() | pid(), term()) :: term()
  def command(task, request), do: :erluv_fleet.command(task, request)

  @doc """
  Asks all programs of a host to stop, has no new ones started there, and returns when none is left.

      iex> [%{node: node}] = Erluv.Fleet.nodes()
      iex> Erluv.Fleet.drain(node, 10_000)
      {:ok, []}
      iex> Erluv.Fleet.set_status(node, :ready)
      :ok
  """
  @spec drain(node(), timeout()) :: {:ok, [pid()]} | {:error, term()}
  def drain(node, deadline), do: :erluv_fleet.drain(node, deadline)

  @doc """
  Asks a host for another state: `:ready`, `:standby` or `:stopped`.

      iex> [%{node: node}] = Erluv.Fleet.nodes()
      iex> Erluv.Fleet.set_status(node, :standby)
      :ok
      iex> Erluv.Fleet.run(node, ["true"])
      {:error, {:node_not_ready, :standby}}
      iex> Erluv.Fleet.set_status(node, :ready)
      :ok
  """
  @spec set_status(node(), :ready | :standby | :stopped) :: :ok | {:error, term()}
  def set_status(node, status), do: :erluv_fleet.set_status(node, status)

  @doc """
  Puts a file on a host, as `Erluv.Host.put_file/4`: it is read on this node, whichever control node is
  connected with the host.

      iex> [%{node: node}] = Erluv.Fleet.nodes()
      iex> path = "/tmp/fleet-example-#{System.pid()}"
      iex> {:ok, %{size: 5}} = Erluv.Fleet.put_file(node, "hello", path)
      iex> {:ok, tool} = Erluv.Fleet.put_file(node, {:file, "/bin/echo"}, :memory)
      iex> {:ok, %{stdout: "hi"}} = Erluv.Fleet.run(node, [{:memory, tool}, "-n", "hi"])
      iex> :erluv.stop(tool)
      :ok
  """
  @spec put_file(node(), :erluv.source(), String.t() | :memory, :erluv.put_options()) ::
          {:ok, %{size: non_neg_integer(), sha256: binary()}} | {:ok, pid()} | {:error, term()}
  def put_file(node, source, path, options \\ []),
    do: :erluv_fleet.put_file(node, source, path, options)

  @doc """
  Puts a file on all hosts of which the filter holds, on eight at once, and returns what `put_file/4`
  has for each. A host that fails stops no other.

      iex> path = "/tmp/fleet-example-#{System.pid()}"
      iex> [{node, {:ok, %{size: 5}}}] =
      ...>   Erluv.Fleet.put_file_all(%{meta: %{group: "g1"}}, "hello", path)
      iex> [{^node, {:error, :eisdir}}] = Erluv.Fleet.put_file_all(%{}, "", "/tmp")
      iex> :ok
      :ok
  """
  @spec put_file_all(filter(), :erluv.source(), String.t() | :memory, :erluv.put_options()) ::
          [{node(), {:ok, map() | pid()} | {:error, term()}}]
  def put_file_all(filter, source, path, options \\ []),
    do: :erluv_fleet.put_file_all(filter, source, path, options)

  @doc """
  Sends a request of erluv-protocol(7) to all hosts of which the filter holds, at once.

      iex> [{_node, answer}] = Erluv.Fleet.call_all(%{meta: %{group: "g1"}}, {:status, :get})
      iex> answer
      :ready
  """
  @spec call_all(filter(), term()) :: [{node(), term()}]
  def call_all(filter, request), do: :erluv_fleet.call_all(filter, request)

  @doc """
  Has the caller sent `{:erluv_fleet, event}`, see `t::erluv_fleet.event/0`, until it ends.

      iex> Erluv.Fleet.subscribe()
      :ok
      iex> {:ok, worker} = Erluv.Fleet.spawn(%{}, ["true"])
      iex> receive do
      ...>   {:erluv_fleet, {:task_started, _node, ^worker, %{cmd: cmd}}} -> cmd
      ...> end
      ["true"]
  """
  @spec subscribe() :: :ok
  def subscribe, do: :erluv_fleet.subscribe()
end
