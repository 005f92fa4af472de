defmodule Erluv.FallbackTest do
  # Programs by ports, as on an operating system without erluv: the same results, or an
  # ArgumentError.
  use Erluv.Case

  alias Erluv.{Daemon, ExitError, PortWorker}

  @macos {:unix, :darwin}

  # Of the warning is one test only.
  setup do
    :persistent_term.put(PortWorker, true)
  end

  # As it is on this operating system, with nothing but the fallback configured.
  defp on(os, fun) do
    {erluv, executable} = {Process.whereis(:erluv), Application.fetch_env!(:erluv, :executable)}
    Process.unregister(:erluv)
    Application.delete_env(:erluv, :executable)
    Application.put_env(:erluv, :os_type, os)
    Application.put_env(:erluv_ex, :fallback, :port)

    try do
      fun.()
    after
      Application.delete_env(:erluv_ex, :fallback)
      Application.delete_env(:erluv, :os_type)
      Application.put_env(:erluv, :executable, executable)
      Process.register(erluv, :erluv)
    end
  end

  defp by_port(fun), do: on(@macos, fun)

  # Who runs a program: the parent of a shell is this VM's helper, or erluv's spawner.
  defp by_port? do
    {parent, 0} = Erluv.cmd("sh", ["-c", "echo $PPID"])
    comm = File.read("/proc/#{String.trim(parent)}/comm")
    comm == {:ok, "erl_child_setup\n"}
  end

  test "it is for operating systems without erluv, and when it is configured" do
    assert on(@macos, &by_port?/0)
    assert on({:unix, :freebsd}, &by_port?/0)
    refute by_port?()

    # On Linux the configuration has no effect.
    Application.put_env(:erluv_ex, :fallback, :port)
    refute by_port?()
    Application.put_env(:erluv, :os_type, @macos)
    # An erluv_node runs all the same.
    executable = Application.fetch_env!(:erluv, :executable)
    Application.delete_env(:erluv, :executable)
    stands_in = PortWorker.stands_in?()
    Application.put_env(:erluv, :executable, executable)
    refute stands_in
    refute by_port?()
    Application.put_env(:erluv_ex, :fallback, true)
    assert_raise ArgumentError, ~r/fallback: is :port, got: true/, &by_port?/0
    Application.delete_env(:erluv_ex, :fallback)
    Application.delete_env(:erluv, :os_type)
  end

  test "without it the error says so" do
    words = fn -> to_string(:erluv.format_error({:no_executable, "erluv"})) end
    assert on(@macos, words) =~ "erluv, which runs on Linux only: "
    assert on(@macos, words) =~ "config :erluv_ex, fallback: :port"
    refute words.() =~ "Linux"
  end

  test "an erluv that is named is used" do
    node = :erluv.info(:erluv, :node)
    script = ["-c", "echo $PPID"]
    {spawner, 0} = Erluv.cmd("sh", script)

    by_port(fn ->
      assert {^spawner, 0} = Erluv.cmd("sh", script, node: node)
      assert ["x\n"] = Erluv.stream!(["cat"], node: node, input: ["x\n"]) |> Enum.to_list()
      Application.put_env(:erluv_ex, :node, node)
      assert {^spawner, 0} = Erluv.cmd("sh", script)
      Application.delete_env(:erluv_ex, :node)
      Application.put_env(:erluv, :executable, "/usr/bin/ssh")
      refute PortWorker.stands_in?()
    end)
  end

  test "a child that would start erluv is none" do
    by_port(fn ->
      {:ok, supervisor} = Supervisor.start_link([{Erluv, []}], strategy: :one_for_one)
      assert [{:erluv, :undefined, _, _}] = Supervisor.which_children(supervisor)
      Supervisor.stop(supervisor)
    end)

    start = Erluv.child_spec(settings: [max_workers: 2]).start
    assert {:erluv_node, :start_link, _} = start

    by_port(fn ->
      for opts <- [[name: :other], [executable: ["ssh", "linux", "erluv"]], [attach: :any]],
          do: assert({:erluv_node, :start_link, _} = Erluv.child_spec(opts).start)
    end)
  end

  test "the doctor says so" do
    Mix.shell(Mix.Shell.Process)
    by_port(fn -> Mix.Tasks.Erluv.Doctor.run([]) end)
    Mix.shell(Mix.Shell.IO)
    assert_received {:mix_shell, :info, ["executable " <> _]}
    assert_received {:mix_shell, :info, ["programs         run by ports: config" <> _]}
    refute_received _
  end

  test "one warning" do
    :persistent_term.erase(PortWorker)
    log = capture_log(fn -> by_port(fn -> for _ <- 1..3, do: Erluv.cmd("true", []) end) end)
    assert length(String.split(log, "[warning] there is no erluv for this operating system")) == 2
    assert capture_log(fn -> by_port(fn -> Erluv.cmd("true", []) end) end) == ""
  end

  @tag :tmp_dir
  test "the results of cmd/3 are the same", %{tmp_dir: dir} do
    path = Path.join(dir, "only here")
    File.write!(path, "#!/bin/sh\necho \"$0\" \"$@\"\n")
    File.chmod!(path, 0o755)
    not_executable = Path.join(dir, "no-program")
    File.write!(not_executable, "")
    # erluv's programs must be able to enter it.
    env = [{"PATH", Path.expand(dir) <> ":/usr/bin:/bin"}]
    System.put_env("ERLUV_EX_TEST", "here")
    # What a port cannot set, and what a shell drops.
    odd = [
      {"A-B", "1"},
      {"x.y", "2"},
      {"EMPTY", ""},
      {"LATIN1", <<0xE9>>},
      {"B", "é"},
      {"1", "="}
    ]

    latin1 = "caf" <> <<0xE9>>

    for {name, text} <- [
          {"a=b", "#!/bin/sh\necho \"$@\"\n"},
          {latin1, "#! /bin/sh -e\necho \"$0\" \"$@\"\n"},
          {"empty", ""},
          {"no-interpreter-line", "echo\n"},
          {"no-interpreter", "#!/no/such/sh\n"},
          {"not-an-interpreter", "#!/etc/passwd\n"}
        ] do
      :ok = :file.write_file(dir <> "/" <> name, text)
      :ok = :file.change_mode(dir <> "/" <> name, 0o755)
    end

    System.put_env("ERLUV-EX.TEST", "odd")
    echo = "echo out; echo err >&2; echo out"

    for {command, args, opts} <- [
          {"echo", ["hello", "", "two words", "$HOME", "*", "'", "-n"], []},
          {"printf", ["hällo \\000\\377"], []},
          {"sh", ["-c", "exit 255"], []},
          {"sh", ["-c", "kill -KILL $$"], []},
          {"sh", ["-c", "kill $$"], []},
          {"sh", ["-c", "tr '\\0' ' ' </proc/$$/cmdline"], []},
          {"seq", ["100000"], []},
          {"cat", [], []},
          {"sh", ["-c", "readlink /proc/$$/fd/0"], []},
          {"sh", ["-c", echo], [stderr_to_stdout: true]},
          {"sh", ["-c", echo], [stderr: :redirect_to_stdout]},
          {"sh", ["-c", echo], [stderr: :disable]},
          {"sh", ["-c", echo], [capture_stderr_only: true]},
          {"sh", ["-c", echo], [capture_stderr_only: true, into: []]},
          {"printf", ["a\\nbb\\n\\nccc"], [lines: 1, into: []]},
          {"echo", ["a"], [into: MapSet.new(["kept"])]},
          {"pwd", [], []},
          {"pwd", [], [cd: ".."]},
          {"/usr/bin/env", [], [clear_env: true, env: %{"A" => "ä", "B" => nil}]},
          {"/usr/bin/env", [], [clear_env: true]},
          {"sh", ["-c", "echo $ERLUV_EX_TEST $A $HOME"], [env: [{"A", "a b"}, {"HOME", nil}]]},
          {"sh", ["-c", "echo ${ERLUV_EX_TEST-not}"], [env: [{"ERLUV_EX_TEST", nil}]]},
          {"only here", ["a"], [env: env]},
          {path, ["a"], []},
          {"./only here", ["a"], [cd: dir]},
          {"echo", ["x"], [env: [{"PATH", nil}]]},
          {"env", [], [lines: 9, into: MapSet.new(), env: [{"ERLUV_EX_TEST", nil} | odd]]},
          {"env", [], [lines: 9, into: MapSet.new(), clear_env: true, env: odd]},
          {"a=b", ["x"], [env: env ++ odd]},
          {latin1, ["x", <<0xE9>>], [env: env]},
          {"./" <> latin1, [], [cd: dir]},
          {"yes", [], [max_output: 5]},
          {"sh", ["-c", "echo one; exec sleep 60"], [timeout: 300]},
          {"sh", ["-c", "echo one; exec sleep 60"], [idle_timeout: 300]},
          {"sh", ["-c", "trap '' TERM; echo; sleep 60"], [timeout: 300, delay_to_sigkill: 100]},
          {"echo", ["x"], [timeout: :infinity, kill_timeout: 0, parallelism: true]},
          {"echo", ["x"], [use_stdio: true, stdio_window: 5]}
        ] do
      assert {command, args, opts, by_port(fn -> Erluv.cmd(command, args, opts) end)} ==
               {command, args, opts, Erluv.cmd(command, args, opts)}
    end

    # What cannot be started, and what is wrong.
    for {command, opts} <- [
          {"no-such-program", []},
          {"only here", []},
          {"only here", [env: [{"PATH", "/bin"}]]},
          {"/no/such/program", []},
          {"/etc/passwd", []},
          {"/etc", []},
          {"no-program", [env: env]},
          {"empty", [env: env]},
          {"no-interpreter-line", [env: env]},
          {"no-interpreter", [env: env]},
          {"not-an-interpreter", [env: env]},
          {"./empty", [cd: dir]},
          {"true", [env: [{"A=B", "1"}]]},
          {"true", [env: [{"", "1"}]]},
          {"true", [env: [{"A", "1\0"}]]},
          {"true", [cd: "/no/such"]},
          {"true", [cd: "/etc/passwd"]},
          {"true", [arg0: "x"]},
          {"true", [use_stdio: false]},
          {"true", [stderr: :consume]},
          {"true", [max_output: -1]},
          {"true", [name: :x]}
        ] do
      failure = fn -> catch_error(Erluv.cmd(command, [], opts)) end
      assert {command, opts, by_port(failure)} == {command, opts, failure.()}
    end

    for {key, value} <- [timeout: 0, idle_timeout: :x, kill_timeout: -1, delay_to_sigkill: 1.5],
        fun <- [&by_port/1, & &1.()] do
      assert_raise ArgumentError, fn ->
        fun.(fn -> Erluv.cmd("true", [], [{key, value}]) end)
      end
    end

    System.delete_env("ERLUV_EX_TEST")
    System.delete_env("ERLUV-EX.TEST")
    assert mailbox() == []
  end

  test "stderr is this node's" do
    # Its own, which no other process of this node sees.
    script = "readlink /proc/$$/fd/2"
    {stderr, 0} = by_port(fn -> Erluv.cmd("sh", ["-c", script]) end)
    assert File.read_link("/proc/#{System.pid()}/fd/2") == {:ok, String.trim(stderr)}
  end

  test "the elements of streams are the same" do
    for {command, opts} <- [
          {["seq", "3"], []},
          {["seq", "3"], [lines: 80]},
          {["printf", "a\\n\\nb"], [lines: 80]},
          {["printf", "abcdefg"], [max_chunk_size: 3]},
          {["sh", "-c", "echo a; exit 3"], []},
          {["sh", "-c", "echo a; echo b >&2"], [stderr_to_stdout: true]},
          {["sleep", "60"], [timeout: 100]},
          {["cat"], [exit_timeout: :infinity, ignore_epipe: true]}
        ] do
      elements = fn -> Erluv.stream(command, opts) |> Enum.to_list() end
      # Where pieces end is a matter of time.
      all = fn elements ->
        Enum.map_join(elements, &if(is_binary(&1), do: &1, else: inspect(&1)))
      end

      if opts[:lines] || opts[:max_chunk_size],
        do: assert(by_port(elements) == elements.()),
        else: assert(all.(by_port(elements)) == all.(elements.()))
    end

    by_port(fn ->
      assert Erluv.stream!(["echo", "a"]) |> Enum.join() == "a\n"
      assert_raise ExitError, fn -> Erluv.stream!(["false"]) |> Enum.to_list() end
      stream = Erluv.stream!(["no-such-program"])
      assert_raise ErlangError, "Erlang error: :enoent", fn -> Enum.to_list(stream) end
      assert Erluv.stream!(["yes"], lines: 80) |> Enum.take(2) == ["y", "y"]
      # As a shell counts.
      assert Erluv.stream(["sh", "-c", "kill $$"]) |> Enum.to_list() == [exit: {:status, 143}]
    end)

    assert mailbox() == []
  end

  test "a long line, and all of what was written before the end" do
    script = "head -c 3000000 /dev/zero | tr '\\0' x; echo; seq 100000"

    by_port(fn ->
      lines = Erluv.stream!(["sh", "-c", script], lines: 80) |> Enum.to_list()
      assert byte_size(hd(lines)) == 3_000_000
      assert tl(lines) == Enum.map(1..100_000, &"#{&1}")
    end)
  end

  test "a program ends with its stream, its caller and its time, and what is in its group" do
    number = unique_sleep()
    command = ["sh", "-c", "sleep #{number} & echo up; wait"]

    by_port(fn ->
      assert Erluv.stream!(command) |> Enum.take(1) == ["up\n"]
      assert running(["sleep", number]) == []

      assert {"up\n", :timeout} = Erluv.cmd(hd(command), tl(command), timeout: 300)
      assert running(["sleep", number]) == []

      pid = spawn(fn -> Erluv.cmd(hd(command), tl(command)) end)
      until(fn -> running(["sleep", number]) != [] end)
      Process.exit(pid, :kill)
      until(fn -> running(["sleep", number]) == [] end)

      # What does not hold the output, and takes no notice of a SIGTERM.
      deaf = "trap '' TERM; sleep #{number} >/dev/null 2>&1 & trap - TERM; echo up; wait"
      assert Erluv.stream!(["sh", "-c", deaf]) |> Enum.take(1) == ["up\n"]
      until(fn -> running(["sleep", number]) == [] end)

      # What has left the group and holds the output is not waited for; it stays.
      away = "setsid sh -c 'echo up; exec sleep #{number}' & wait"
      options = [kill_timeout: 100]
      assert Erluv.stream!(["sh", "-c", away], options) |> Enum.take(1) == ["up\n"]
      until(fn -> running(["sleep", number]) != [] end)
      [left] = running(["sleep", number])
      {_, 0} = System.cmd("kill", ["#{left}"])
    end)

    assert mailbox() == []
  end

  # What is logged until the daemon has ended, and with which reason that is.
  defp logged(script, opts) do
    Process.flag(:trap_exit, true)

    log =
      capture_log(fn ->
        {:ok, daemon} = Daemon.start_link("sh", ["-c", script], opts)
        assert_receive {:EXIT, ^daemon, reason}, 120_000
        send(self(), {:reason, reason})
      end)

    assert_received {:reason, reason}
    {Regex.replace(~r/^\d\d:.*? \[|#PID<.*?>/m, log, "["), reason}
  end

  test "daemons log the same, and end for the same reason" do
    to_reason = &{:status, &1}
    both = "echo one; echo two >&2; printf three"

    for {script, opts} <- [
          {both, [log_output: :warning, stderr_to_stdout: true]},
          {both, [log_output: :info, stderr: :disable, log_prefix: "<<"]},
          {both, [log_output: :info, capture_stderr_only: true]},
          {"seq 1000", [log_output: :info, log_transform: &String.upcase/1]},
          {"printf 'a\\377b\\n'", [log_output: :info, logger_metadata: [a: 1]]},
          {"echo x", []},
          {"exit 3", [exit_status_to_reason: to_reason]},
          {"exit 0", [exit_status_to_reason: to_reason]},
          {"exec cat", [stdin: :null]},
          {"pwd; echo $A$HOME.",
           [log_output: :info, cd: "/", env: [{"A", "b"}], clear_env: true, stdio_window: 1]}
        ] do
      assert {script, by_port(fn -> logged(script, opts) end)} == {script, logged(script, opts)}
    end

    parent = self()

    by_port(fn ->
      {log, {:status, 138}} = logged("kill -USR1 $$", exit_status_to_reason: to_reason)
      assert log =~ "[error] sh: Process exited with status 138"
      {_, :timeout} = logged("sleep 60", timeout: 100)
      {_, :normal} = logged("echo one", logger_fun: &send(parent, {:line, &1}))
      assert_received {:line, "one"}
      assert {:error, :enoent} = Daemon.start_link("no-such-program", [])
      assert {:error, {:cd, :enoent}} = Daemon.start_link("sleep", ["60"], cd: "/no/such")
      {log, _} = logged("echo the last words; exit 3", env: [{"A", "a secret"}], keep: 5)
      assert log =~ "the last words"
      refute log =~ "a secret"
    end)
  end

  test "a daemon's functions, and its end" do
    Process.flag(:trap_exit, true)
    number = unique_sleep()
    script = "echo one; echo up; sleep #{number} & exec cat"

    by_port(fn ->
      wait = fn -> :ok end

      {:ok, daemon} =
        Daemon.start_link("sh", ["-c", script], name: :by_port, wait_for: wait, keep: 1)

      until(fn -> match?(%{output_byte_count: 7}, Daemon.statistics(:by_port)) end)
      assert Daemon.statistics(daemon) == %{output_byte_count: 7}
      assert :erluv_worker.last_output(daemon) == ["up"]
      os_pid = Daemon.os_pid(daemon)
      # Its stdin is open.
      until(fn -> running(["cat"]) |> Enum.member?(os_pid) end)
      :ok = GenServer.stop(:by_port)
      assert_receive {:EXIT, ^daemon, :normal}, 120_000
      refute alive?(os_pid)
      until(fn -> running(["sleep", number]) == [] end)

      # A supervisor restarts it, and stops it.
      child = {Daemon, ["sh", ["-c", script], [name: :by_port]]}
      {:ok, supervisor} = Supervisor.start_link([child], strategy: :one_for_one)
      Process.exit(Process.whereis(:by_port), :kill)

      until(fn ->
        length(running(["sleep", number])) == 1 and is_pid(Process.whereis(:by_port))
      end)

      :ok = Supervisor.stop(supervisor)
      until(fn -> running(["sleep", number]) == [] end)
    end)
  end

  test "a program that floods does not fill the node, and is stopped" do
    Process.flag(:trap_exit, true)

    by_port(fn ->
      before = :erlang.memory(:total)
      never = fn _ -> Process.sleep(:infinity) end
      {:ok, daemon} = Daemon.start_link("sh", ["-c", "yes"], logger_fun: never)
      [os_pid] = Process.info(daemon, :links) |> elem(1) |> Enum.flat_map(&os_pid_of/1)
      until(fn -> state(os_pid) == "T" end)
      assert :erlang.memory(:total) - before < 128 * 1_048_576
      # It goes on when its output is taken.
      stream = Erluv.stream!(["sh", "-c", "yes | head -c 30000000"], stderr: :disable)

      assert stream
             |> Stream.each(fn _ -> Process.sleep(1) end)
             |> Enum.map(&byte_size/1)
             |> Enum.sum() == 30_000_000

      Process.exit(daemon, :kill)
      assert_receive {:EXIT, ^daemon, :killed}, 120_000
      until(fn -> not alive?(os_pid) end)
    end)
  end

  defp os_pid_of(pid) when is_pid(pid) and pid != self() do
    case :erluv_call.call(pid, :info) do
      %{os_pid: os_pid} -> [os_pid]
      {:error, _} -> []
    end
  end

  defp os_pid_of(_), do: []

  defp state(os_pid) do
    {:ok, text} = File.read("/proc/#{os_pid}/stat")
    text |> String.split(") ") |> List.last() |> String.first()
  end

  # What the documentation names, with a value. Those that are not here are honoured: the
  # tests above have each.
  @refused [
    node: nil,
    uid: "nobody",
    gid: "nogroup",
    user: "nobody",
    cgroup: %{pids_max: 5},
    limits: %{pids: 5},
    sandbox: :read_only,
    kill_signal: :sigint,
    stop_sequence: [:sigterm],
    rlimits: %{nofile: 5},
    allow: [],
    nice: 5,
    cpus: [0],
    input: "x",
    exit_timeout: 5,
    stderr: {:file, "/dev/null"},
    ready: :notify,
    ready_timeout: 5,
    watchdog: 5,
    log_ring: true,
    arg0: "x",
    use_stdio: false,
    path: "/bin",
    colour: :red
  ]
  @honoured ~w(cd env clear_env stderr_to_stdout delay_to_sigkill kill_timeout timeout idle_timeout
               into lines max_output capture_stderr_only parallelism max_chunk_size ignore_epipe
               name log_output log_prefix log_transform logger_metadata logger_fun stdio_window
               exit_status_to_reason wait_for keep stdin)a
  @stream_only [:exit_timeout]
  @daemon_only [:ready, :ready_timeout, :watchdog, :log_ring]

  test "every option is honoured, or refused" do
    for module <- [Erluv, Daemon] do
      {:docs_v1, _, _, _, %{"en" => text}, _, docs} = Code.fetch_docs(module)
      # top/2 runs no program.
      texts = for {{_, name, _}, _, _, %{"en" => text}, _} <- docs, name != :top, do: text
      texts = [text | texts]
      names = Regex.scan(~r/^  \* ((?:`:\w+`(?:, )?)+)/m, Enum.join(texts, "\n"))
      assert length(names) > 5

      for [_, list] <- names, [_, name] <- Regex.scan(~r/`:(\w+)`/, list) do
        name = String.to_existing_atom(name)
        assert name in @honoured or Keyword.has_key?(@refused, name), "#{name} is in no table"
      end
    end

    by_port(fn ->
      for {key, value} <- @refused, key != :node, opts = [{key, value}] do
        unless key in @daemon_only or key in @stream_only,
          do: assert_raise(ArgumentError, fn -> Erluv.cmd("true", [], opts) end)

        unless key in @daemon_only,
          do: assert_raise(ArgumentError, fn -> Erluv.stream!(["true"], opts) end)

        error = assert_raise ArgumentError, fn -> Daemon.start_link("true", [], opts) end
        assert Exception.message(error) =~ "option :#{key} "
      end

      assert Erluv.top() == {:error, {:no_node, :erluv}}
      error = assert_raise ArgumentError, fn -> Erluv.cmd("true", [], nice: 5) end
      assert Exception.message(error) =~ "option :nice cannot be honoured by a port"
      error = assert_raise ArgumentError, fn -> Erluv.stream!(["true"], stderr: :consume) end
      assert Exception.message(error) =~ "option :stderr as it is given cannot be honoured"
    end)

    on({:win32, :nt}, fn ->
      for opts <- [[stderr: :disable], [capture_stderr_only: true]] do
        assert_raise ArgumentError, fn -> Erluv.cmd("true", [], opts) end
        assert_raise ArgumentError, fn -> Daemon.start_link("true", [], opts) end
      end
    end)
  end

  test "Windows has no shell of ours" do
    options = %{env: %{}, stdin: :null, stdout: :owner, stderr: :stdout}
    command = PortWorker.command({:win32, :nt}, ["C:/x y.exe", "a b"], options)
    assert command == {"C:/x y.exe", ["a b"], [:stderr_to_stdout]}
  end
end
