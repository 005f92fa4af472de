defmodule Erluv do
  @moduledoc """
  Runs programs of the operating system on an erluv node: as `System.cmd/3` does
  (`cmd/3`), as streams (`stream!/2`, `stream/2`), and under a supervisor
  (`Erluv.Daemon`).

  When the process that uses a program ends, when the BEAM is killed, or when a stream is
  halted, the program is stopped with everything that it has started.

  The Erlang application `:erluv` is below: `:erluv.spawn/3` starts a program as a process
  of the erluv node, with all options of erluv-protocol(7).

  ## The erluv node

  Programs run on the `erluv_node` that is registered as `:erluv`. The first call starts it:
  nothing needs to be configured. The executable is in `priv` of `:erluv`, as compiling the
  dependency builds it with Go, or takes the one that `ERLUV_BIN` names; else it is looked for
  in PATH. `mix erluv.doctor` says what was found.

  ### The VM gets a name

  erluv talks to a node. A VM that is no node (`iex -S mix`, `mix test`, a release without a name)
  becomes one when the application `:erluv_ex` starts: hidden, named `vm_` and eight digits,
  without EPMD and without a listener. It takes about 5 ms. A VM that has a name keeps it.

  It happens at the start because pids from before are foreign afterwards when they have been
  through `:erlang.term_to_binary/1`. Elixir's compiler keeps such a pid for each file, so that
  a file which makes the VM a node does not compile any further ("no connection to
  nonode@nohost"). For the same reason it does not happen while a script installs the
  application by `Mix.install/2`. There the first call makes the VM a node: put it behind the
  modules of the script, or start the script by `elixir --sname NAME`.

  What changes: `node/0` and the prompt of `iex` have the name, and `Node.alive?/0` is true.
  `Node.start/3` returns `:already_started`, and `:peer.start/1` with a name fails by
  `:boot_failed`. A VM that needs another name says so in its configuration:

      config :erluv, distribution: :none

  Then it calls `Node.start/3` itself, before the first program. Until then programs do not run.
  With `config :erluv, start: :manual` the VM becomes a node when its `erluv_node` starts.

  To have it supervised by the application instead, and with settings of erluv.conf(5):

      config :erluv, nodes: [[settings: [max_workers: 100]]]

  or by a supervisor of yours, in front of who needs it:

      children = [{Erluv, settings: [max_workers: 100]}, ...]

  The settings `:nodes` and `:discover` have it serve other nodes beside this one, on each of which
  a program's pid is the same. Lists are lists, and times are milliseconds:

      {Erluv, settings: [nodes: [:"shop2@db", :"shop3@db"]]}
      {Erluv, settings: [discover: "dns:control.example.com", discover_name: "shop@%h", discover_interval: 5000]}

  EPMD must know this VM then. It is still this VM with which the erluv ends.

  Another one is named by the option `:node`, or for all calls by

      config :erluv_ex, node: :"erluv_5f0c92ab@myhost"

  It is the name of an erluv node, or an `erluv_node` process: its pid or registered name.

  ## Where there is no erluv

  erluv runs on Linux. Elsewhere (macOS, Windows, BSD) this node can use an erluv that runs on Linux, by
  `:node` or `config :erluv, executable: ["ssh", ...]`. To develop there without one,

      config :erluv_ex, fallback: :port

  lets `cmd/3`, `stream!/2`, `stream/2` and `Erluv.Daemon` run programs by `Port`, and says so
  in one warning. It has no effect on Linux, nor when an erluv is named or configured. `{Erluv, []}` as a
  child is none then.

  Results are the same, but for what a port cannot know or do:

    * Programs go on when the BEAM is killed. What a program leaves behind when it ends by itself
      goes on, and is waited for while it holds the program's output. Stopped are the program and
      its process group: by SIGTERM, and after `:kill_timeout` by SIGKILL.
    * They run as the user of this node, with all that this user may.
    * A stream emits `{:exit, {:status, 143}}` where it would emit `{:exit, {:signal, :sigterm}}`.
    * With `stderr: :console` they write to stderr of the BEAM themselves. A program whose
      output is not taken is paused by SIGSTOP when 16 MiB of it wait.
    * On Windows a program that has no stdin waits when it reads from it, programs are stopped
      without warning, and output is not held back.

  Honoured are `:cd`, `:env`, `:clear_env`, `:stderr` with `:console`, `:redirect_to_stdout` and
  `:disable`, `:stderr_to_stdout`, `:timeout`, `:idle_timeout`, `:delay_to_sigkill` and
  `:kill_timeout`; of `cmd/3` and streams `:into`, `:lines`, `:max_output`, `:max_chunk_size`,
  `:ignore_epipe` and `:capture_stderr_only`; of `Erluv.Daemon` all but `:ready`,
  `:ready_timeout` and `:watchdog`. Any other raises an `ArgumentError`, as `:input` does: a port
  cannot close a program's stdin. On Windows `stderr: :disable` and `:capture_stderr_only` do so too.

  ## Options that all of them take

    * `:node` - the erluv node.
    * `:cd` - the program's directory, which its user must be able to enter: an erluv that
      root has started runs programs as `nobody`. By default it is that of this node, or `/` when
      the user must not enter that, with a warning.
    * `:env` - an enumerable of pairs of binaries: set on top of this node's environment.
      `nil` as a value removes a variable.
    * `:clear_env` - with `true` the environment is what `:env` says, and nothing else.
    * `:stderr` - `:console` writes it to this node's standard error, and is the default;
      `:redirect_to_stdout`; `:disable` drops it.
    * `:stderr_to_stdout` - `true` is `stderr: :redirect_to_stdout`.
    * `:delay_to_sigkill` - milliseconds from the stop signal to SIGKILL, as `:kill_timeout`.
    * `:uid`, `:gid` - as `:user` and `:group`.
    * `:cgroup` - the keys `memory_max`, `pids_max` and `cpu_max`, as `:limits`. Values are those
      of these files of a control group: a number, `:max` for no limit, or the same as text.
      `cpu_max` is `{quota, period}`, of which whole percents are taken; a quota of `:max` or -1
      is no limit.
    * `:sandbox` - what the program may reach: words of `Erluv.Sandbox`, or the map that
      erluv-protocol(7) has.
    * what else erluv-protocol(7) has for programs: `:timeout`, `:idle_timeout`,
      `:kill_signal`, `:stop_sequence`, `:rlimits`, `:limits`, `:allow`, `:user`,
      `:nice`, `:cpus`, ...

  An option that is not known, or not right, raises an `ArgumentError`. Of several with one key
  the first counts, but `:sandbox`, `:limits`, `:cgroup`, `:rlimits` and `:allow` must not be given
  twice. A program that
  cannot be started raises an `ErlangError` with the error of the system, such as `:enoent`,
  as `System.cmd/3` does, or else an `Erluv.Error` that says why.
  """

  alias Erluv.{Error, ExitError, Options, PortWorker, Run}

  @typedoc "An erluv node, or an `erluv_node` process."
  @type server() :: :erluv.server()

  @typedoc "Program and arguments. A program without a slash is looked up in the `PATH` that it has, else in this node's."
  @type command() :: [String.t(), ...]

  @typedoc "How a program has ended. `:timeout` is that of `:idle_timeout` too."
  @type exit() ::
          {:status, 0..255}
          | {:signal, atom() | pos_integer()}
          | :timeout
          | :epipe

  @doc """
  A child for a supervisor: an `erluv_node`, with its options.

  ## Examples

      iex> Erluv.child_spec(name: :second, settings: [max_workers: 10]).id
      :second
  """
  @spec child_spec(:erluv_node.options()) :: Supervisor.child_spec()
  def child_spec(opts) do
    spec = :erluv_node.child_spec(opts)

    elsewhere = opts[:executable] || opts[:attach]

    if spec.id == :erluv and elsewhere == nil and PortWorker.stands_in?(),
      do: %{spec | start: {Function, :identity, [:ignore]}},
      else: spec
  end

  @doc """
  Runs a program, and returns what it wrote to stdout and its exit status.

  It is `System.cmd/3` with the same arguments and results, but that the program ends with
  its caller. A signal is 128 and its number, as in a shell. Without `:input` the program
  reads an empty stdin.

  ## Options

  Those of `Erluv`, and

    * `:into` - what the output is collected into, by default `""`.
    * `:lines` - collects lines, without their ends, instead of pieces. The number is that
      of bytes to buffer for one; a longer line is whole all the same.
    * `:input` - what the program reads on stdin: iodata, or as for `stream!/2`. What it
      does not read is dropped.
    * `:timeout`, `:idle_timeout` - milliseconds that it may run, or be silent, until it is
      stopped. The status is `:timeout` then.
    * `:max_output` - bytes. A program that writes more is stopped; the status is
      `:max_output`, and the output is cut there.
    * `:capture_stderr_only` - with `true` it is stderr that is collected, and stdout is
      dropped.
    * `:parallelism` - `true` or `false`, of no effect: there is no port.
    * `:use_stdio` - `true`; with `false` it raises an `ArgumentError`: a program of erluv has
      not this node's stdin and stdout.
    * `:arg0` - raises an `ArgumentError`: a program sees its own name.

  ## Examples

      iex> Erluv.cmd("echo", ["hello"])
      {"hello\\n", 0}

      iex> Erluv.cmd("sh", ["-c", "echo $GREETING; exit 3"], env: [{"GREETING", "hi"}])
      {"hi\\n", 3}

      iex> Erluv.cmd("printf", ["one\\ntwo"], into: [], lines: 1024)
      {["one", "two"], 0}

      iex> Erluv.cmd("tr", ["a-z", "A-Z"], input: "hello")
      {"HELLO", 0}

      iex> Erluv.cmd("sleep", ["60"], timeout: 100)
      {"", :timeout}

      iex> Erluv.cmd("no-such-program", [])
      ** (ErlangError) Erlang error: :enoent
  """
  @spec cmd(String.t(), [String.t()], keyword()) ::
          {Collectable.t(), 0..255 | :timeout | :max_output}
  def cmd(command, args, opts \\ []) when is_binary(command) and is_list(args) do
    {into, opts} = opts |> Options.keyword!() |> Keyword.pop(:into, "")
    {max, opts} = Options.pop(opts, :max_output, :infinity, &limit?/1, "a number of bytes")
    spec = Options.run(:cmd, [command | args], opts)
    {initial, fun} = Collectable.into(into)

    try do
      # Bytes are counted before they are cut into lines.
      %{spec | lines: false} |> Run.stream(&[exit: &1]) |> collect(initial, fun, max, spec)
    catch
      kind, reason ->
        fun.(initial, :halt)
        :erlang.raise(kind, reason, __STACKTRACE__)
    else
      {acc, status} -> {fun.(acc, :done), status}
    end
  end

  defp limit?(max), do: is_integer(max) and max >= 0

  defp collect(stream, initial, fun, max, spec) do
    take = &take(&1, &2, fun, spec)

    {taken, _, status} =
      Enum.reduce_while(stream, {{initial, ""}, 0, nil}, fn
        {:exit, exit}, {taken, size, _} ->
          {:halt, {taken, size, status(exit, spec)}}

        data, {taken, size, _} when size + byte_size(data) <= max ->
          {:cont, {take.(data, taken), size + byte_size(data), nil}}

        data, {taken, size, _} ->
          {:halt, {take.(binary_part(data, 0, max - size), taken), max, :max_output}}
      end)

    {acc, _} = take.(:eof, taken)
    {acc, status}
  end

  # rest: what belongs to a line that has not ended.
  defp take("", taken, _, _), do: taken

  defp take(data, {acc, rest}, fun, %{lines: true}) do
    {lines, rest} = Run.cut(data, rest)
    {Enum.reduce(lines, acc, &fun.(&2, {:cont, &1})), rest}
  end

  defp take(:eof, taken, _, _), do: taken
  defp take(data, {acc, rest}, fun, _), do: {fun.(acc, {:cont, data}), rest}

  defp status({:status, status}, _), do: status
  defp status({:signal, signal}, _), do: 128 + :erluv_signal.number(signal)
  defp status({:error, reason}, spec), do: raise(Error, reason: reason, command: spec.command)
  defp status(timeout, _), do: timeout

  @doc """
  Runs a program when the stream is enumerated, and emits what it writes to stdout.

  Nothing is read ahead of the consumer but one chunk: the program waits in its `write`
  meanwhile. A stream that is halted stops the program and waits until all of it is gone. At
  the end of the output the exit status must be 0, or else it raises an `Erluv.ExitError`.

  ## Options

  Those of `Erluv`, and

    * `:input` - what the program reads on stdin: iodata, an enumerable of it, or a function that
      is called with a collectable. A process of its own enumerates it, at the pace at which
      the program reads, and closes stdin at the end. An exception there is raised in the
      consumer. Without input, stdin is empty.
    * `:max_chunk_size` - bytes of a chunk at most, up to 262144, which is the default.
    * `:lines` - emits lines, without their ends, instead of chunks. The number is that of
      bytes to buffer for one; a longer line is whole all the same.
    * `:stderr` - also `:consume`: elements are `{:stdout, data}` and `{:stderr, data}` then.
    * `:exit_timeout` - milliseconds, by default `:infinity`: how long the program may go on
      after the end of its output, until it is stopped.
    * `:ignore_epipe` - with `true` it is no error when the program ends well without having
      read all its input. By default it is the exit `:epipe`.

  ## Examples

      iex> Erluv.stream!(["seq", "100000"], lines: 100) |> Stream.map(&String.to_integer/1)
      ...> |> Stream.filter(&(rem(&1, 7) == 0)) |> Enum.take(2)
      [7, 14]

      iex> Erluv.stream!(["sort"], input: ["b\\n", "a\\n"]) |> Enum.join()
      "a\\nb\\n"

      iex> Erluv.stream!(["cat"], input: fn sink -> Enum.into(1..3, sink, &to_string/1) end)
      ...> |> Enum.join()
      "123"

      iex> Erluv.stream!(["sh", "-c", "echo on; echo oh >&2"], stderr: :consume) |> Enum.sort()
      [stderr: "oh\\n", stdout: "on\\n"]

      iex> Erluv.stream!(["false"]) |> Enum.to_list()
      ** (Erluv.ExitError) false ended with the exit status 1
  """
  @spec stream!(command(), keyword()) :: Enumerable.t()
  def stream!(command, opts \\ []) do
    spec = Options.run(:stream, command, opts)

    Run.stream(spec, fn
      {:status, 0} -> []
      {:error, reason} -> raise Error, reason: reason, command: spec.command
      exit -> raise ExitError, exit: exit, command: spec.command
    end)
  end

  @doc """
  The same as `stream!/2`, but that the last element says how the program has ended, and
  nothing is raised for it: `{:exit, {:status, 0}}` for example.

  ## Examples

      iex> Erluv.stream(["sh", "-c", "echo hello; exit 3"]) |> Enum.to_list()
      ["hello\\n", {:exit, {:status, 3}}]

      iex> Erluv.stream(["sh", "-c", "kill $$"]) |> Enum.to_list()
      [exit: {:signal, :sigterm}]
  """
  @spec stream(command(), keyword()) :: Enumerable.t()
  def stream(command, opts \\ []) do
    spec = Options.run(:stream, command, opts)

    Run.stream(spec, fn
      {:error, reason} -> raise Error, reason: reason, command: spec.command
      exit -> [exit: exit]
    end)
  end

  @doc """
  Starts the program of a worker again, which has the option `restart: :transient` or `:permanent`.

  The worker stays, and its owner gets `{worker, {:restarted, os_pid, n}}` when the next program runs.
  `:erluv.restart/1` has the details.

      iex> {:ok, worker} = :erluv.spawn(:erluv, ["sleep", "60"], %{restart: :permanent})
      iex> Erluv.restart(worker)
      :ok
      iex> receive do
      ...>   {^worker, {:restarted, _os_pid, 1}} -> :erluv.stop(worker)
      ...> end
      {:ok, {:signal, :sigterm}}
      iex> Erluv.restart(worker)
      {:error, :noproc}
  """
  @spec restart(:erluv.worker()) :: :ok | :erluv.error()
  defdelegate restart(worker), to: :erluv

  @doc """
  Shows the programs of an erluv node, what they use, and what erluv itself uses, live. It is for
  `iex`, also by `--remsh`, and ends with Enter. It starts no erluv.

  ## Options

    * `:interval` - milliseconds between two pictures, by default 1000.
    * `:order` - `:cpu`, the default, `:memory`, `:output`, `:since`, `:name`, `:state` or
      `:restarts`.
    * `:rows` - how many programs are shown, by default as many as there is room for.
    * `:once` - with `true` one picture of all programs is printed.

  `Erluv.top(order: :memory)` is that of the erluv node that all functions use.

  ## Examples

      iex> ExUnit.CaptureIO.capture_io(fn -> :ok = Erluv.top(once: true, interval: 200) end) =~ "PROGRAM"
      true
  """
  @spec top(server() | keyword(), keyword()) :: :ok | {:error, term()}
  def top(node \\ [], opts \\ [])

  def top(opts, more) when is_list(opts) do
    {node, opts} = Options.pop_node(opts ++ more)
    top(node, opts)
  end

  # Where there is no erluv.
  def top(node, _) when is_function(node), do: {:error, {:no_node, :erluv}}
  def top(node, opts), do: :erluv.top(node, opts)
end
