defmodule Erluv.DaemonTest do
  use Erluv.Case

  alias Erluv.Daemon

  setup do
    Process.flag(:trap_exit, true)
    :ok
  end

  # What is logged until the daemon has ended, and with which reason that is.
  defp logged(script, opts) do
    log =
      capture_log(fn ->
        {:ok, daemon} = Daemon.start_link("sh", ["-c", script], opts)
        assert_receive {:EXIT, ^daemon, reason}, 120_000
        send(self(), {:reason, reason})
      end)

    assert_received {:reason, reason}
    {log, reason}
  end

  test "lines are logged, with the prefix and level" do
    script = "echo one; echo two >&2; printf three"
    {log, :normal} = logged(script, log_output: :warning, stderr_to_stdout: true)
    for line <- ["one", "two", "three"], do: assert(log =~ "[warning] sh: #{line}\n")
    assert log =~ "[info] sh: Process exited successfully"

    {log, :normal} = logged("echo one", log_output: :error, log_prefix: "<<")
    assert log =~ "[error] <<one\n"

    {log, :normal} = logged("echo one", [])
    refute log =~ "one\n"
  end

  # A message for each line would be half a million of them.
  test "what is not logged is not cut into lines" do
    lines = 524_288

    script =
      "until [ -e $1 ]; do sleep 0.1; done; yes | head -n #{lines}; echo end; exec sleep 60"

    for opts <- [[], [stderr_to_stdout: true]] do
      go = Path.join(System.tmp_dir!(), "go-#{unique_sleep()}")
      {:ok, daemon} = Daemon.start_link("sh", ["-c", script, "sh", go], opts)
      :erlang.trace(daemon, true, [:receive])
      File.touch!(go)
      until(fn -> "end" in :erluv_worker.last_output(daemon) end)
      :erlang.trace(daemon, false, [:receive])
      assert Daemon.statistics(daemon).output_byte_count == 2 * lines + 4
      assert traced(0) < div(lines, 10)
      :ok = GenServer.stop(daemon)
      File.rm!(go)
    end

    # Nor for this node's stderr.
    text = capture_io(:stderr, fn -> logged("seq 1000 >&2", []) end)
    assert text == Enum.map_join(1..1000, &"#{&1}\n")
  end

  defp traced(count) do
    receive do
      {:trace, _, :receive, {_, {:stdout, _}}} -> traced(count + 1)
      {:trace, _, :receive, _} -> traced(count)
    after
      0 -> count
    end
  end

  test "lines are made into text only for a level that is logged" do
    parent = self()

    transform = fn line ->
      send(parent, {:line, line})
      line
    end

    level = Logger.level()
    Logger.configure(level: :error)

    {:ok, daemon} =
      Daemon.start_link("echo", ["one"], log_output: :info, log_transform: transform)

    assert_receive {:EXIT, ^daemon, :normal}, 120_000
    Logger.configure(level: level)
    refute_received {:line, _}
  end

  test "what is not stdout goes to this node's stderr, or is logged alone" do
    script = "echo out; echo err >&2"
    text = capture_io(:stderr, fn -> send(self(), logged(script, log_output: :info)) end)
    assert text == "err\n"
    assert_received {log, :normal}
    assert log =~ "sh: out"
    refute log =~ "sh: err"

    {log, :normal} = logged(script, log_output: :info, capture_stderr_only: true)
    assert log =~ "sh: err"
    refute log =~ "sh: out"

    {log, :normal} = logged(script, log_output: :info, stderr: :disable)
    refute log =~ "err"
  end

  test "lines are transformed" do
    {log, :normal} = logged("echo one", log_output: :info, log_transform: &String.upcase/1)
    assert log =~ "sh: ONE"

    {log, :normal} = logged("printf 'a\\377b\\n'", log_output: :info)
    assert log =~ "sh: aÿb"
  end

  test "metadata" do
    parent = self()
    handler = :"metadata_#{System.unique_integer([:positive])}"
    filter = {:programs, {&:logger_filters.domain/2, {:log, :sub, [:erluv, :worker]}}}
    config = %{config: parent, filter_default: :stop, filters: [filter]}
    :ok = :logger.add_handler(handler, __MODULE__, config)
    opts = [log_output: :info, logger_metadata: [colour: :red, erluv_cmd: :no], name: :told]
    logged("echo one; exit 1", opts)

    for text <- ["sh: one", "sh: Process exited with status 1"] do
      assert_receive {:logged, ^text, meta}, 120_000
      assert %{colour: :red, erluv_cmd: "sh", erluv_args: "-c echo one; exit 1"} = meta
      assert %{domain: [:erluv, :worker], worker: worker, name: :told} = meta
      assert node(worker) != node()
      assert meta.command == ["sh", "-c", "echo one; exit 1"]
    end

    :logger.warning("not of a program")
    {:error, :enoent} = Daemon.start_link("no-such-program", [], name: :told)
    assert_receive {:logged, "no-such-program is not started: " <> _, meta}, 120_000
    assert %{domain: [:erluv, :worker], name: :told, command: ["no-such-program"]} = meta
    refute_received {:logged, _, _}
    :ok = :logger.remove_handler(handler)
  end

  # The handler of the test above.
  def log(%{meta: meta} = event, %{config: pid}) do
    text = :logger_formatter.format(event, %{template: [:msg]})
    send(pid, {:logged, IO.chardata_to_string(text), meta})
  end

  test "a function in the place of Logger" do
    parent = self()
    {log, :normal} = logged("echo one", logger_fun: &send(parent, {:line, &1}), log_output: :info)
    refute log =~ "one\n"
    assert_received {:line, "one"}

    {_, :normal} = logged("echo two", logger_fun: {__MODULE__, :hand_on, [parent, :more]})

    Process.register(self(), :handed_on)
    {_, :normal} = logged("echo three", logger_fun: {__MODULE__, :hand_on})
    assert_received {:line, "three"}
    Process.unregister(:handed_on)
    assert_received {:line, "two", :more}
  end

  def hand_on(line, pid, more), do: send(pid, {:line, line, more})
  def hand_on(line), do: send(:handed_on, {:line, line})

  test "a function that fails ends the daemon and the program" do
    {:ok, daemon} =
      Daemon.start_link("sh", ["-c", "echo one; sleep 60"], logger_fun: fn _ -> raise "full" end)

    assert_receive {:EXIT, ^daemon, {%RuntimeError{}, _}}, 120_000
    assert programs() == []
  end

  test "stdin stays open, unless it is said that it does not" do
    ready = [ready: {:line, "up"}]
    {:ok, daemon} = Daemon.start_link("sh", ["-c", "echo up; exec cat"], ready)
    monitor = Process.monitor(daemon)
    # It has read nothing and seen no end: it waits in the read.
    until(fn -> File.read!("/proc/#{Daemon.os_pid(daemon)}/wchan") =~ "read" end)
    refute_received {:DOWN, ^monitor, _, _, _}
    :ok = GenServer.stop(daemon)
    assert {_, :normal} = logged("exec cat", stdin: :null)
  end

  test "what is captured counts" do
    script = "echo one; echo three >&2; echo up >&2; exec sleep 60"
    script2 = "echo one; echo three >&2; echo up; exec sleep 60"

    for {script, opts, bytes} <- [
          {script2, [stderr: :disable], 7},
          {script2, [], 7},
          {script2, [stderr_to_stdout: true], 13},
          {script, [capture_stderr_only: true], 9}
        ] do
      {:ok, daemon} = Daemon.start_link("sh", ["-c", script], opts)
      until(fn -> Daemon.statistics(daemon).output_byte_count == bytes end)
      :ok = GenServer.stop(daemon)
    end
  end

  test "exit reasons" do
    assert {_, :normal} = logged("exit 0", [])
    {log, :error_exit_status} = logged("exit 3", [])
    assert log =~ "[error] sh: Process exited with status 3"

    to_reason = &{:status, &1}
    assert {_, {:status, 3}} = logged("exit 3", exit_status_to_reason: to_reason)
    assert {log, {:status, 138}} = logged("kill -USR1 $$", exit_status_to_reason: to_reason)
    assert log =~ "[error] sh: Process exited with status 138 (sigusr1)"

    assert {_, {:status, 139}} =
             logged("ulimit -c 0; kill -SEGV $$", exit_status_to_reason: to_reason)

    assert {_, :normal} = logged("exit 0", exit_status_to_reason: to_reason)
    {log, :timeout} = logged("sleep 60", timeout: 100)
    assert log =~ "[error] sh: "
  end

  test "names" do
    {:ok, daemon} = Daemon.start_link("sleep", ["60"], name: {:global, __MODULE__})
    assert :global.whereis_name(__MODULE__) == daemon
    assert is_integer(Daemon.os_pid({:global, __MODULE__}))

    assert {:error, {:already_started, ^daemon}} =
             Daemon.start_link("sleep", ["60"], name: {:global, __MODULE__})

    :ok = GenServer.stop(daemon)
  end

  test "os_pid and statistics" do
    number = unique_sleep()
    ready = [ready: {:line, "ready"}, stderr_to_stdout: true]
    {:ok, daemon} = Daemon.start_link("sh", ["-c", "echo ready; exec sleep #{number}"], ready)
    os_pid = Daemon.os_pid(daemon)
    until(fn -> running(["sleep", number]) == [os_pid] end)
    assert %{output_byte_count: 6, restarts: 0, cgroup: %{}} = Daemon.statistics(daemon)
    worker = :erluv_worker.worker(daemon)
    assert %{os_pid: ^os_pid} = :erluv.info(worker)
    assert :erluv_worker.last_output(daemon) == ["ready"]
    :ok = GenServer.stop(daemon)
    refute alive?(os_pid)
  end

  test "cd and env" do
    opts = [log_output: :info, cd: "/", env: [{"A", "b"}], clear_env: true]
    {log, :normal} = logged("echo $PWD$A$HOME.", opts)
    assert log =~ "sh: /b.\n"
  end

  test "the program waits for what it needs, and who starts it does not" do
    parent = self()
    number = unique_sleep()

    wait = fn ->
      send(parent, {:waiting, self()})
      receive do: (:there -> :ok)
    end

    {:ok, daemon} = Daemon.start_link("sleep", [number], wait_for: wait)
    assert_receive {:waiting, task}, 120_000
    assert Daemon.os_pid(daemon) == :error
    assert Daemon.statistics(daemon) == %{output_byte_count: 0}
    assert running(["sleep", number]) == []
    send(task, :there)
    until(fn -> is_integer(Daemon.os_pid(daemon)) end)
    assert Daemon.os_pid(daemon) in programs()
    :ok = GenServer.stop(daemon)
    assert running(["sleep", number]) == []
  end

  test "what is waited for fails, or the daemon ends before" do
    {:ok, daemon} = Daemon.start_link("sleep", ["60"], wait_for: fn -> raise "never" end)
    assert_receive {:EXIT, ^daemon, {%RuntimeError{}, _}}, 120_000

    parent = self()

    wait = fn ->
      send(parent, {:waiting, self()})
      Process.sleep(:infinity)
    end

    {:ok, daemon} = Daemon.start_link("sleep", ["60"], wait_for: wait)
    assert_receive {:waiting, task}, 120_000
    ref = Process.monitor(task)
    Process.exit(daemon, :shutdown)
    assert_receive {:EXIT, ^daemon, :shutdown}, 120_000
    assert_receive {:DOWN, ^ref, _, _, _}, 120_000

    {:ok, daemon} = Daemon.start_link("no-such-program", [], wait_for: fn -> :ok end)
    assert_receive {:EXIT, ^daemon, :enoent}, 120_000
  end

  # What GenServer would say of an end that is no shutdown is more, and has the options.
  test "a line says why a program is not started" do
    log =
      capture_log(fn ->
        for opts <- [[], [wait_for: fn -> :ok end], [colour: :red], [cd: "/no/such"]] do
          with {:ok, daemon} <- Daemon.start_link("no-such-program", ["a"], opts),
               do: assert_receive({:EXIT, ^daemon, :enoent}, 120_000)
        end
      end)

    lines = log |> String.split("\n") |> Enum.filter(&(&1 =~ ~r/\S/))

    assert [_, _, _, _] = lines
    for line <- lines, do: assert(line =~ "[error] no-such-program a is not started: ")
  end

  # As a supervisor's child that is told to end, which is no error.
  test "a program that is told to end, by a drain for one, is no error" do
    for reason <- [:shutdown, {:shutdown, :drained}] do
      log =
        capture_log(fn ->
          {:ok, daemon} = Daemon.start_link("sleep", ["60"])
          Process.exit(:erluv_worker.worker(daemon), reason)
          assert_receive {:EXIT, ^daemon, ^reason}, 120_000
        end)

      assert log =~ "[info] sleep: "
      refute log =~ "[error]"
      if reason != :shutdown, do: assert(log =~ "its host is drained")
    end
  end

  test "what cannot be started" do
    assert {:error, :enoent} = Daemon.start_link("no-such-program", [])
    assert {:error, {:cd, :enoent}} = Daemon.start_link("sleep", ["60"], cd: "/no/such")
    assert {:error, {:bad_option, :colour, _}} = Daemon.start_link("sleep", ["60"], colour: :red)
    assert {:error, :nodedown} = Daemon.start_link("sleep", ["60"], node: :no_such@node)

    assert {:error, {:not_ready, {:exit_status, 3}, ["no"]}} =
             Daemon.start_link("sh", ["-c", "echo no; exit 3"], ready: {:line, "yes"})

    for {options, words} <- [
          {[log_output: :loud], "option :log_output is one of"},
          {[log_prefix: 1], "option :log_prefix is a string"},
          {[log_transform: 1], "option :log_transform is a function"},
          {[logger_fun: fn -> 1 end], "option :logger_fun is a function of a line"},
          {[logger_metadata: 1], "option :logger_metadata is a keyword list"},
          {[exit_status_to_reason: 1], "option :exit_status_to_reason is a function"},
          {[wait_for: fn _ -> 1 end], "option :wait_for is a function without arguments"},
          {[stdio_window: 0], "option :stdio_window is a number of bytes"},
          {[cgroup_base: "x"], "give limits: %{memory: bytes"},
          {[register: :x], "option :register is :name"},
          {[output: :log], "see :logger_fun"},
          {[reason: 1], "see :exit_status_to_reason"},
          {[restart: :permanent], "is for :erluv.spawn/3"},
          {[stderr: :consume], "is for Erluv.stream!/2"},
          {[stdin: :pipe], "option :stdin is :open or :null"},
          {[arg0: "x"], "option :arg0 cannot be had"}
        ] do
      error = assert_raise ArgumentError, fn -> Daemon.start_link("sleep", ["60"], options) end
      assert Exception.message(error) =~ words
    end
  end

  test "a supervisor restarts it, and stops it with all that it has started" do
    number = unique_sleep()
    script = "trap '' TERM; sleep #{number} & echo ready; wait; wait"
    opts = [name: :supervised, kill_timeout: 300, ready: {:line, "ready"}]
    child = {Daemon, ["sh", ["-c", script], opts]}
    {:ok, supervisor} = Supervisor.start_link([child], strategy: :one_for_one)
    first = Daemon.os_pid(:supervised)
    {_, 0} = System.cmd("kill", ["-KILL", "#{first}"])

    until(fn ->
      Supervisor.count_children(supervisor).active == 1 and os_pid() not in [first, nil]
    end)

    until(fn -> length(running(["sleep", number])) == 1 end)
    :ok = Supervisor.stop(supervisor)
    assert running(["sleep", number]) == []
    assert programs() == []
  end

  defp os_pid do
    Daemon.os_pid(:supervised)
  catch
    :exit, _ -> nil
  end

  test "it ends with its owner, however that ends" do
    for reason <- [:shutdown, :crash, :kill] do
      number = unique_sleep()
      parent = self()

      owner =
        spawn(fn ->
          {:ok, daemon} = Daemon.start_link("sh", ["-c", "sleep #{number} & wait"])
          send(parent, {:daemon, daemon})
          Process.sleep(:infinity)
        end)

      assert_receive {:daemon, daemon}, 120_000
      until(fn -> running(["sleep", number]) != [] end)
      Process.exit(if(reason == :kill, do: daemon, else: owner), reason)
      until(fn -> running(["sleep", number]) == [] end)
    end
  end

  test "a program that floods does not fill the node" do
    before = :erlang.memory(:total)
    {:ok, daemon} = Daemon.start_link("yes", [], [])
    until(fn -> Daemon.statistics(daemon).output_byte_count > 1_000_000 end)
    assert :erlang.memory(:total) - before < 32 * 1_048_576
    :ok = GenServer.stop(daemon)
  end

  test "a failed program is one message, with the last output and no options" do
    script = "echo the last; echo words; exit 3"
    opts = [stderr_to_stdout: true, env: [{"A", "a secret"}]]
    {log, :error_exit_status} = logged(script, opts)
    assert log =~ "sh: Process exited with status 3\n    the last\n    words\n"
    refute log =~ "a secret"
    refute log =~ "terminating"

    {log, _} = logged(script, [log_output: :info] ++ opts)
    assert log =~ "sh: Process exited with status 3\n"
    refute log =~ "    words"

    {log, :timeout} = logged("exec sleep 60", timeout: 100)
    assert log =~ "sh: it ran longer than its timeout and was stopped"
  end

  test "a supervisor waits for the whole stop" do
    for {opts, shutdown} <- [
          {[], 10_000},
          {[delay_to_sigkill: 1000], 6000},
          {[stop_sequence: [:close, 2000, :sigterm, 7000, :sigkill]], 14_000},
          {[stop_sequence: [2000, :sigterm], kill_timeout: 1000], 8000}
        ] do
      assert {opts, shutdown} == {opts, Daemon.child_spec(["sleep", ["60"], opts]).shutdown}
    end
  end
end
