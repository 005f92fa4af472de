defmodule Erluv.Daemon do
  @moduledoc """
  A program under a supervisor, with the functions and options of `MuonTrap.Daemon`.

      children = [
        {Erluv.Daemon, ["ssh", ["-N", "-L", "8080:localhost:80", "host"],
          [name: :tunnel, stderr_to_stdout: true, log_output: :info, ready: {:tcp, 8080}]]}
      ]

      Supervisor.start_link(children, strategy: :one_for_one)

  The process ends when the program has ended, and the program is stopped, with all that it
  has started, when the process ends: however that is, and also when the BEAM is killed. A
  supervisor is told that it is down when all of it is gone.

  It is a local process, which a worker of `:erluv.spawn/3` is not: with that as its child
  `Supervisor.count_children/1` ends a supervisor (SUPERVISORS in erluv.3erl).

  It is an `erluv_worker`: the functions `:erluv_worker.worker/1` and
  `:erluv_worker.last_output/1` take it. When the program has failed, one line of the log says
  so, and has the last lines of output, unless these are logged anyway.

  ## Options

  Those of `Erluv`, and

    * `:name` - the name of the process, as `GenServer` takes it.
    * `:log_output` - a level of `Logger`, at which each line of output is logged. Without it
      stdout is dropped.
    * `:log_prefix` - stands before each line, by default the program and `": "`.
    * `:log_transform` - a function that takes a line and returns what is logged. By default
      what is not UTF-8 is taken as Latin-1.
    * `:logger_metadata` - a keyword list for these messages. Added are `:erluv_cmd` and
      `:erluv_args`, and `:domain`, which is `[:erluv, :worker]`, `:worker`, `:name` and `:command`.
    * `:logger_fun` - a function that is called with each line, or `{module, function}`, or
      `{module, function, args}`, where the line becomes the first argument. The other options
      of logging have no effect.
    * `:capture_stderr_only` - with `true` stderr is logged, and stdout dropped.
    * `:exit_status_to_reason` - a function that takes the exit status, if it is not 0, and
      returns the exit reason of the process, by default `:error_exit_status`. A signal is 128
      and its number. After the status 0 the reason is `:normal`.
    * `:wait_for` - a function without arguments. The program is started when it returns;
      `start_link/3` does not wait for it. When it raises, the process ends.
    * `:ready` - what `start_link/3` waits for: `{:tcp, port}`, `{:line, regex}`,
      `{:file, path}` or `:notify`, see erluv-protocol(7); `:ready_timeout`, `:watchdog`.
    * `:keep` - how many of the last lines are kept, by default 20.
    * `:log_ring` - `true`, or a number of bytes: erluv too keeps the last output, for
      `:erluv.log/2` and `erluv logs`.
    * `:stdin` - by default `:open`: the program's stdin has nothing to read and does not end,
      as programs want it that live as long as it does (`esbuild --watch`). With `:null` it
      ends at once.
    * `:stdio_window` - a number, of no effect: not more than 8 messages of some 64 KiB are on the way.

  Where there is no erluv a port can have the program: see "Where there is no erluv" of `Erluv`.
  `:erluv_worker.last_output/1` takes the process then, too, but `worker/1` is of no use.

  Unlike there, `:cgroup_base`, `:cgroup_path`, `:cgroup_controllers` and `:cgroup_sets`
  raise an `ArgumentError`: `:limits` needs no preparation.
  """

  use GenServer

  alias Erluv.{Options, PortWorker}

  @levels [:emergency, :alert, :critical, :error, :warning, :warn, :notice, :info, :debug]

  @typedoc "As `GenServer` takes it."
  @type daemon() :: GenServer.server()

  @doc """
  Starts a program and its process.

  When the program cannot be started it is `{:error, reason}`, such as `{:error, :enoent}`;
  `:erluv.format_error/1` has words. Options that are not right raise an `ArgumentError`,
  those that erluv itself checks are `{:error, {:bad_option, key, why}}`.

  ## Examples

      iex> {:ok, daemon} = Erluv.Daemon.start_link("sleep", ["60"], name: :sleeper)
      iex> GenServer.whereis(:sleeper) == daemon
      true
      iex> GenServer.stop(daemon)
      :ok

      iex> Process.flag(:trap_exit, true)
      iex> Erluv.Daemon.start_link("no-such-program", [])
      {:error, :enoent}
  """
  @spec start_link(String.t(), [String.t()], keyword()) :: GenServer.on_start()
  def start_link(command, args, opts \\ []) do
    {name, opts} = opts |> Options.keyword!() |> Keyword.split([:name])
    args = prepare(Options.command!([command | args]), name[:name], opts)
    GenServer.start_link(__MODULE__, args, name)
  end

  @doc """
  A child for a supervisor, of the arguments of `start_link/3` as a list.

  Its id is the option `:name`, or else this module. It may take as long to stop as its
  stop does and 5 seconds more: `:kill_timeout`, which counts as 5 seconds unless it is given,
  or all waits of `:stop_sequence`.

  ## Examples

      iex> Erluv.Daemon.child_spec(["sleep", ["60"], [name: :sleeper, kill_timeout: 1000]])
      %{
        id: :sleeper,
        start: {Erluv.Daemon, :start_link, ["sleep", ["60"], [name: :sleeper, kill_timeout: 1000]]},
        restart: :permanent,
        shutdown: 6000,
        type: :worker
      }
  """
  @spec child_spec([String.t() | [String.t()] | keyword()]) :: Supervisor.child_spec()
  def child_spec([command, args]), do: child_spec([command, args, []])

  def child_spec([command, args, opts]) do
    stop =
      opts |> Keyword.take([:kill_timeout, :delay_to_sigkill, :stop_sequence]) |> Options.stop()

    %{shutdown: shutdown} = :erluv_worker.child_spec({nil, command, stop})

    %{
      id: Keyword.get(opts, :name, __MODULE__),
      start: {__MODULE__, :start_link, [command, args, opts]},
      restart: :permanent,
      shutdown: shutdown,
      type: :worker
    }
  end

  @doc """
  The number of the program's process, or `:error` when it has not started yet.

  ## Examples

      iex> {:ok, daemon} = Erluv.Daemon.start_link("sleep", ["60"])
      iex> File.exists?("/proc/\#{Erluv.Daemon.os_pid(daemon)}")
      true
  """
  @spec os_pid(daemon()) :: pos_integer() | :error
  def os_pid(daemon), do: GenServer.call(daemon, :os_pid, :infinity)

  @doc """
  How many bytes of output were captured, and what else erluv knows of it: `:cpu`
  (milliseconds), `:rss` (bytes) and `:restarts`, once it has started, and `:cgroup`, what the
  control groups of the program have counted of it and of all that it has started, as far as
  there are such: `:memory`, `:memory_peak` (bytes), `:pids`, `:cpu` (milliseconds) and
  `:oom_kills`.

  ## Examples

      iex> {:ok, daemon} =
      ...>   Erluv.Daemon.start_link("sh", ["-c", "echo hello; sleep 60"], ready: {:line, "hello"})
      iex> %{output_byte_count: 6} = Erluv.Daemon.statistics(daemon)
      iex> is_integer(Erluv.Daemon.statistics(daemon).rss)
      true
  """
  @spec statistics(daemon()) :: %{
          :output_byte_count => non_neg_integer(),
          optional(:cpu | :rss | :restarts) => non_neg_integer(),
          optional(:cgroup) => %{optional(atom()) => non_neg_integer()}
        }
  def statistics(daemon), do: GenServer.call(daemon, :statistics, :infinity)

  # What init/1 needs: for erluv_worker, and what to wait for.
  defp prepare([program | args] = command, name, opts) do
    {node, opts} = Options.pop_node(opts)

    {wait_for, opts} =
      pop(opts, :wait_for, nil, &is_function(&1, 0), "a function without arguments")

    {to_reason, opts} =
      pop(
        opts,
        :exit_status_to_reason,
        fn _ -> :error_exit_status end,
        &is_function(&1, 1),
        "a function of a status"
      )

    {only, opts} = Options.pop_stderr_only(opts)
    {stdin, opts} = pop(opts, :stdin, :open, &(&1 in [:open, :null]), ":open or :null")
    {metadata, opts} = pop(opts, :logger_metadata, [], &Keyword.keyword?/1, "a keyword list")
    metadata = Keyword.merge(metadata, erluv_cmd: program, erluv_args: Enum.join(args, " "))
    {log, opts} = pop_log(program, metadata, opts)
    {stderr, opts} = Options.pop_stderr(opts)
    stderr = if only and stderr == :console, do: :log, else: stderr

    if stderr == :consume, do: Options.refuse!(:stderr, ":consume is for Erluv.stream!/2")

    PortWorker.only!(node, :capture_stderr_only, only, &PortWorker.captures?/1)

    PortWorker.only!(
      node,
      :stderr,
      if(stderr == :log, do: :console, else: stderr),
      &PortWorker.stderr?/1
    )

    PortWorker.check!(node, opts)

    options =
      opts
      |> Options.spawn_options()
      |> Map.merge(%{
        stdin: if(stdin == :open, do: :pipe, else: :null),
        stdout: if(only, do: :null, else: :owner),
        stderr: if(stderr == :log, do: :owner, else: Options.stream(stderr)),
        output: output(log, stderr),
        reason: &reason(&1, if(log == nil, do: &2, else: []), program, metadata, to_reason)
      })
      |> Map.merge(if(log == nil, do: %{packet: :raw}, else: %{}))
      # For its log and events.
      |> Map.merge(if(is_atom(name) and name != nil, do: %{register: name}, else: %{}))

    {node, command, options, wait_for}
  end

  defp pop(opts, key, default, right?, right), do: Options.pop(opts, key, default, right?, right)

  defp pop_log(program, metadata, opts) do
    {fun, opts} =
      pop(opts, :logger_fun, nil, &logger_fun?/1, "a function of a line, {m, f} or {m, f, args}")

    {level, opts} = pop(opts, :log_output, nil, &(&1 in @levels), "one of #{inspect(@levels)}")
    {prefix, opts} = pop(opts, :log_prefix, program <> ": ", &is_binary/1, "a string")

    {transform, opts} =
      pop(opts, :log_transform, &:erluv_log.text/1, &is_function(&1, 1), "a function of a line")

    case {fun, level} do
      {nil, nil} ->
        {nil, opts}

      {nil, level} ->
        {fn line -> log(level, fn -> [prefix, transform.(line)] end, metadata) end, opts}

      {{m, f}, _} ->
        {&apply(m, f, [&1]), opts}

      {{m, f, args}, _} ->
        {&apply(m, f, [&1 | args]), opts}

      {fun, _} ->
        {fun, opts}
    end
  end

  defp logger_fun?({m, f}), do: is_atom(m) and is_atom(f)
  defp logger_fun?({m, f, args}), do: is_atom(m) and is_atom(f) and is_list(args)
  defp logger_fun?(fun), do: is_function(fun, 1)

  # Logger would put its own domain in front. What else erluv's reports have is in the metadata of
  # the process. The text is made only for a level that is logged.
  defp log(:warn, text, metadata), do: log(:warning, text, metadata)

  defp log(level, text, metadata) do
    own = %{domain: [:erluv, :worker], mfa: {__MODULE__, :log, 3}}
    :logger.log(level, fn _ -> text.() end, [], Map.merge(own, Map.new(metadata)))
  end

  # What nothing asked for is not cut into lines.
  defp output(nil, :console), do: &console/2
  defp output(nil, _), do: :none
  defp output(log, stderr), do: &output(&1, &2, log, stderr)

  defp output(:stderr, line, _, :console), do: IO.binwrite(:stderr, line)
  defp output(_, line, log, _), do: line |> :erluv_last.chomp() |> log.()

  defp console(:stderr, data), do: IO.binwrite(:stderr, data)
  defp console(_, _), do: :ok

  # The last lines that nobody has seen are in the log.
  defp reason(:normal, _, program, metadata, _) do
    log(:info, fn -> "#{program}: Process exited successfully" end, metadata)
    :normal
  end

  defp reason({:exit_status, status}, last, program, metadata, to_reason),
    do: failed(status, "with status #{status}", last, program, metadata, to_reason)

  defp reason({:signal, signal}, last, program, metadata, to_reason),
    do: signalled(signal, "", last, program, metadata, to_reason)

  defp reason({:signal, signal, :core}, last, program, metadata, to_reason),
    do: signalled(signal, ", with a core", last, program, metadata, to_reason)

  defp reason({:signal, signal, :oom}, last, program, metadata, to_reason),
    do: signalled(signal, ", out of memory", last, program, metadata, to_reason)

  # It was told to end, by a drain of its host for one: that is no error.
  defp reason(:shutdown, _, program, metadata, _), do: told(:shutdown, program, metadata)
  defp reason({:shutdown, _} = why, _, program, metadata, _), do: told(why, program, metadata)

  # timeout, child_crashed, noconnection, ...
  defp reason(reason, last, program, metadata, _) do
    log(:error, fn -> "#{program}: #{:erluv_error.exit_text(reason)}#{said(last)}" end, metadata)
    reason
  end

  defp told(reason, program, metadata) do
    log(:info, fn -> "#{program}: #{:erluv_error.exit_text(reason)}" end, metadata)
    reason
  end

  # As a shell counts: 128 and the signal.
  defp signalled(signal, more, last, program, metadata, to_reason) do
    status = 128 + :erluv_signal.number(signal)
    failed(status, "with status #{status} (#{signal}#{more})", last, program, metadata, to_reason)
  end

  defp failed(status, how, last, program, metadata, to_reason) do
    log(:error, fn -> "#{program}: Process exited #{how}#{said(last)}" end, metadata)
    to_reason.(status)
  end

  defp said(last), do: for(line <- last, into: "", do: "\n    #{:erluv_log.text(line)}")

  # The state is erluv_worker's, or {:waiting, task, args} until it has one. The process
  # dictionary has the stream that is captured.
  @impl true
  def init({node, command, options, wait_for}) do
    Process.put(__MODULE__, if(options.stdout == :null, do: :stderr, else: :stdout))
    args = {node, command, options}

    if wait_for == nil,
      do: start_worker(args),
      else: {:ok, {:waiting, Task.async(wait_for), args}}
  end

  # Or it has said why not, and has ended.
  defp start_worker({node, command, options}) do
    with {:error, reason} <- Options.start(options, &:erluv_worker.start(node, command, &1)),
         do: :erluv_worker.not_started(reason, command, options)
  end

  @impl true
  def handle_call(:os_pid, _from, {:waiting, _, _} = state), do: {:reply, :error, state}

  def handle_call(:os_pid, _from, state) do
    case info(state) do
      %{os_pid: os_pid} when os_pid > 0 -> {:reply, os_pid, state}
      _ -> {:reply, :error, state}
    end
  end

  def handle_call(:statistics, _from, {:waiting, _, _} = state),
    do: {:reply, %{output_byte_count: 0}, state}

  def handle_call(:statistics, _from, state) do
    info = info(state)
    known = Map.take(info, [:cpu, :rss, :restarts, :cgroup])
    {:reply, Map.put(known, :output_byte_count, captured(info)), state}
  end

  def handle_call(request, _from, {:waiting, _, _} = state),
    do: {:reply, {:error, {:waiting, request}}, state}

  def handle_call(request, from, state), do: :erluv_worker.handle_call(request, from, state)

  defp info(state) do
    {:reply, worker, _} = :erluv_worker.handle_call(:worker, self(), state)

    case :erluv_call.call(worker, :info) do
      %{} = info -> info
      {:error, _} -> %{}
    end
  end

  # stderr counts when it alone is captured; with :stderr_to_stdout it is in stdout.
  defp captured(info) do
    case info[Process.get(__MODULE__)] do
      %{bytes: bytes} -> bytes
      nil -> 0
    end
  end

  @impl true
  def handle_cast(_message, state), do: {:noreply, state}

  @impl true
  def handle_info({ref, _result}, {:waiting, %Task{ref: ref}, args}) do
    Process.demonitor(ref, [:flush])

    {:ok, state} = start_worker(args)
    {:noreply, state}
  end

  def handle_info(_message, {:waiting, _, _} = state), do: {:noreply, state}
  def handle_info(message, state), do: :erluv_worker.handle_info(message, state)

  @impl true
  def terminate(_reason, {:waiting, _, _}), do: :ok
  def terminate(reason, state), do: :erluv_worker.terminate(reason, state)

  # Not the options, in which secrets may be. GenServer has it from Elixir 1.17 on.
  if {:format_status, 1} in GenServer.behaviour_info(:callbacks), do: @impl(true)
  @doc false
  def format_status(%{state: {:waiting, _, {_, command, _}}} = status),
    do: %{status | state: %{waiting: command}}

  def format_status(status), do: :erluv_worker.format_status(status)
end
