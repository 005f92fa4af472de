defmodule Erluv.CmdTest do
  use Erluv.Case

  # The same of both, on one machine and as far as the user is the same.
  test "what System.cmd/3 returns" do
    for {command, args, opts} <- [
          {"echo", ["hello", "", "two words", "$HOME", "*"], []},
          {"printf", ["hällo \\000\\377"], []},
          {"sh", ["-c", "exit 255"], []},
          {"sh", ["-c", "kill -KILL $$"], []},
          {"sh", ["-c", "kill $$"], []},
          {"sh", ["-c", "echo out; echo err >&2; echo out"], [stderr_to_stdout: true]},
          {"seq", ["100000"], []},
          {"echo", ["a"], [into: []]},
          {"echo", ["a"], [into: ["kept"] |> MapSet.new()]},
          {"pwd", [], [cd: "/"]},
          {"pwd", [], [cd: ".."]},
          {"pwd", [], []},
          {"pwd", [], [parallelism: true]},
          {"sh", ["-c", "echo $A $B $HOME"], [env: [{"A", "a b"}, {"B", nil}]]},
          {"sh", ["-c", "echo $A"], [env: %{"A" => "äöü"}]},
          {"sh", ["-c", "echo $HOME"], [env: [{"HOME", nil}]]},
          {"true", [], [into: "kept"]}
        ] do
      assert {command, args, Erluv.cmd(command, args, opts)} ==
               {command, args, System.cmd(command, args, opts)}
    end

    assert mailbox() == []
  end

  test "of several options with one key the first counts" do
    first = [cd: "/", env: [{"A", "1"}], input: "x", timeout: 50_000, into: ""]
    opts = first ++ [cd: "/tmp", env: [{"A", "2"}], input: "y", timeout: 1, into: []]
    assert {"/ 1 x", 0} = Erluv.cmd("sh", ["-c", "echo -n $PWD $A ''; cat"], opts)

    # Neither of two is dropped without a word.
    for {key, value} <- [
          sandbox: :read_only,
          limits: [pids: 5],
          cgroup: [pids_max: 5],
          rlimits: %{}
        ],
        run <- [
          &Erluv.cmd("true", [], &1),
          &Erluv.stream!(["true"], &1),
          &Erluv.Daemon.start_link("true", [], &1)
        ] do
      assert_raise ArgumentError, "option #{inspect(key)} is given more than once", fn ->
        run.([{key, value}, {key, %{}}])
      end
    end
  end

  test "no error has the environment" do
    System.put_env("ERLUV_EX_SECRET", "s3cret")

    for {opts, words} <- [
          {[node: "nosuch"], ~r/^option :node is the name of an erluv node, .* got: "nosuch"$/},
          {[node: nil], ~r/^option :node is/},
          {[node: {:erluv, node()}], ~r/^option :node is/},
          {[env: [{"A", "s3cret"}, :b]], ~r/^option :env is an enumerable of pairs/},
          {[{"cd", "/"}, {:env, [{"A", "s3cret"}]}], ~r/^options are a keyword list$/},
          {[{:env, [{"A", "s3cret"}]}, :b], ~r/^options are a keyword list$/}
        ],
        run <- [
          &Erluv.cmd("true", [], &1),
          &Erluv.stream!(["true"], &1),
          &Erluv.Daemon.start_link("true", [], &1)
        ] do
      {error, stack} =
        try do
          run.(opts)
        rescue
          error -> Exception.blame(:error, error, __STACKTRACE__)
        end

      assert %ArgumentError{message: message} = error
      assert message =~ words
      refute Exception.format(:error, error, stack) =~ "s3cret"
    end

    for options <- [%{env: %{"A" => "s3cret"}}, [env: [{"A", "s3cret"}]]] do
      stack =
        try do
          :erluv.spawn({:no, :server}, ["true"], options)
        catch
          :error, :badarg -> __STACKTRACE__
        end

      refute inspect(stack, limit: :infinity) =~ "s3cret"
    end

    # When such a process crashes its state is logged.
    task = Task.async(fn -> Erluv.cmd("sleep", ["60"]) end)
    until(fn -> runs() != [] end)
    [run] = runs()
    state = :sys.get_state(run)
    refute inspect(state, limit: :infinity, printable_limit: :infinity) =~ "s3cret"
    Task.shutdown(task)
  after
    System.delete_env("ERLUV_EX_SECRET")
  end

  test "the environment is this node's, or what is said" do
    System.put_env("ERLUV_EX_TEST", "here")
    script = ["-c", "echo ${ERLUV_EX_TEST-not}"]
    assert Erluv.cmd("sh", script) == {"here\n", 0}
    assert Erluv.cmd("sh", script, clear_env: true) == {"not\n", 0}
    System.delete_env("ERLUV_EX_TEST")
    assert Erluv.cmd("/usr/bin/env", [], clear_env: true, env: %{"A" => "1"}) == {"A=1\n", 0}
  end

  @tag :tmp_dir
  test "a program is found where System.cmd/3 finds it", %{tmp_dir: dir} do
    name = "only-here-#{System.unique_integer([:positive])}"
    path = Path.join(dir, name)
    File.write!(path, "#!/bin/sh\necho found\n")
    File.chmod!(path, 0o755)
    was = System.get_env("PATH")
    System.put_env("PATH", "#{Path.expand(dir)}:#{was}")

    try do
      for opts <- [[], [clear_env: true], [env: [{"PATH", nil}]]] do
        assert Erluv.cmd(name, [], opts) == {"found\n", 0}
        assert Erluv.cmd(name, [], opts) == System.cmd(name, [], Keyword.delete(opts, :clear_env))
      end

      assert catch_error(Erluv.cmd(name, [], env: [{"PATH", "/bin"}])) == :enoent
    after
      System.put_env("PATH", was)
    end
  end

  test "errors of System.cmd/3" do
    assert catch_error(Erluv.cmd("no-such-program", [])) ==
             catch_error(System.cmd("no-such-program", []))

    # These are exit statuses there.
    for {path, error} <- [
          {"/etc/passwd", :eacces},
          {"/etc", :eacces},
          {"/no/such/program", :enoent}
        ] do
      assert catch_error(Erluv.cmd(path, [])) == error
    end

    # Each names the option.
    for {key, value} <- [
          cd: 5,
          cd: [],
          cd: nil,
          env: 3,
          env: ["A=b"],
          env: [{"A", {}}],
          input: 5,
          input: [1.5],
          input: [[:a]],
          lines: -1,
          stderr: :nowhere,
          timeout: "1",
          limits: 5,
          user: 5.0,
          sandbox: 5,
          exit_timeout: -1,
          max_chunk_size: 0
        ] do
      error = assert_raise ArgumentError, fn -> Erluv.cmd("cat", [], [{key, value}]) end
      assert Exception.message(error) =~ "option #{inspect(key)}"
    end

    assert_raise ArgumentError, fn -> Erluv.cmd("cat\0", []) end
    assert_raise ArgumentError, fn -> Erluv.cmd("cat", ["a\0"]) end
    assert_raise ArgumentError, fn -> Erluv.cmd("cat", [:a]) end
    assert_raise ArgumentError, fn -> Erluv.cmd("cat", [], colour: :red) end
    assert_raise Protocol.UndefinedError, fn -> Erluv.cmd("cat", [], into: 1) end
    assert_raise FunctionClauseError, fn -> apply(Erluv, :cmd, [~c"cat", []]) end
  end

  test "what cannot be had says so" do
    for {opts, words} <- [
          {[arg0: "dog"], "option :arg0 cannot be had"},
          {[parallelism: 1], "option :parallelism is true or false"},
          {[stderr: :consume], "is for Erluv.stream!/2"},
          {[max_output: -1], "option :max_output is a number of bytes"},
          {[name: :x], "option :name is for Erluv.Daemon"},
          {[owner: :none], "option :owner is for :erluv.spawn/3"},
          {[cgroup_controllers: ["cpu"]],
           "give limits: %{memory: bytes, pids: count, cpu: percent}"},
          {[cgroup_path: "x"], "give limits"},
          {[cgroup_sets: []], "give limits"},
          {[cgroup: %{cpu_weight: 1}], "with cpu_weight"},
          {[cgroup: nil], "option :cgroup is a map or keyword list"},
          {[cgroup: [:memory_max]], "option :cgroup is a map or keyword list"},
          {[cgroup: %{"memory_max" => 1}], "option :cgroup is a map or keyword list"},
          {[cgroup: 1..3], "option :cgroup is a map or keyword list"},
          {[limits: %{memory: 0}], "option :limits: memory must be a number of bytes"},
          {[limits: 7], "option :limits: must be a map or list"},
          {[limits: 7, cgroup: %{}], "option :limits: must be a map or list"},
          {[cgroup: %{memory_max: 1024}], "option :limits: memory must be a number of bytes"},
          {[kill_signal: :sigwhat], "option :kill_signal"}
        ] do
      error = assert_raise ArgumentError, fn -> Erluv.cmd("cat", [], opts) end
      assert Exception.message(error) =~ words
    end
  end

  test "stderr alone is captured, and stdio is used" do
    script = ["-c", "echo out; echo err >&2; exit 3"]
    assert Erluv.cmd("sh", script, capture_stderr_only: true) == {"err\n", 3}
    assert Erluv.cmd("sh", script, capture_stderr_only: false, stderr: :disable) == {"out\n", 3}
    assert Erluv.cmd("sh", script, capture_stderr_only: true, lines: 10, into: []) == {["err"], 3}
    assert {"er", :max_output} = Erluv.cmd("sh", script, capture_stderr_only: true, max_output: 2)
    assert Erluv.cmd("echo", ["x"], use_stdio: true) == {"x\n", 0}

    for opts <- [
          [use_stdio: false],
          [capture_stderr_only: true, stderr_to_stdout: true],
          [capture_stderr_only: 1]
        ] do
      assert_raise ArgumentError, fn -> Erluv.cmd("sh", script, opts) end
    end

    assert_raise ArgumentError, fn ->
      Enum.to_list(Erluv.stream!(["true"], capture_stderr_only: true))
    end
  end

  test "MuonTrap's names of options" do
    options =
      Erluv.Options.spawn_options(
        delay_to_sigkill: 100,
        uid: "games",
        gid: "users",
        stdio_window: 100,
        limits: %{memory: 1, pids: 5},
        cgroup: %{memory_max: 1_000_000, pids_max: :max, cpu_max: {50_000, 100_000}}
      )

    assert %{kill_timeout: 100, user: "games", group: "users"} = options
    assert options.limits == %{memory: 1_000_000, pids: 5, cpu: 50}
    refute is_map_key(options, :stdio_window)
  end

  test "limits by the values that files of a control group take" do
    limits = &Erluv.Options.spawn_options(cgroup: &1).limits

    for {given, expected} <- [
          {%{}, %{}},
          {[], %{}},
          {[pids_max: 7], %{pids: 7}},
          {%{memory_max: :max, pids_max: "max", cpu_max: :max}, %{}},
          {%{memory_max: "max\n", pids_max: :infinity, cpu_max: "max 100000"}, %{}},
          {%{memory_max: "268435456", pids_max: "10"}, %{memory: 268_435_456, pids: 10}},
          {%{cpu_max: {-1, 100}}, %{}},
          {%{cpu_max: {:max, 100_000}}, %{}},
          {%{cpu_max: {"max", "100000"}}, %{}},
          {%{cpu_max: -1}, %{}},
          {%{cpu_max: {50_000, 100_000}}, %{cpu: 50}},
          {%{cpu_max: {1_500, 100_000}}, %{cpu: 1}},
          {%{cpu_max: {400_000, 100_000}}, %{cpu: 400}},
          {%{cpu_max: "150000 100000"}, %{cpu: 150}},
          {%{cpu_max: "20000"}, %{cpu: 20}},
          {%{cpu_max: 20_000}, %{cpu: 20}}
        ] do
      assert {given, limits.(given)} == {given, expected}
    end

    for value <- [0, -1, -2, 1.5, "", "many", "-1", "256M", nil, :min, {1, 2}],
        key <- [:memory_max, :pids_max] do
      error = assert_raise ArgumentError, fn -> limits.(%{key => value}) end
      assert Exception.message(error) =~ "option :cgroup with #{key} is a number of"
    end

    for value <-
          [0, -2, 999, {0, 100}, {-2, 100}, {50, 0}, {50, -1}, {-1, 0}, {:max, 0}, {50, :max}] ++
            [{999, 100_000}, {1.5, 100}, {nil, 100}, {1, 2, 3}, "", "max max", "1 2 3", "x", nil] do
      error = assert_raise ArgumentError, fn -> limits.(%{cpu_max: value}) end
      assert Exception.message(error) =~ "option :cgroup with cpu_max is {quota, period}"
    end

    for options <- [
          [cgroup: %{pids_max: 5}, limits: %{memory: 1}],
          [limits: [memory: 1], cgroup: [pids_max: 5]],
          [limits: %{memory: 1, pids: 5}, cgroup: %{memory_max: :max}]
        ] do
      assert Erluv.Options.spawn_options(options).limits == %{memory: 1, pids: 5}
    end

    assert Erluv.cmd("echo", ["on"], cgroup: %{}) == {"on\n", 0}
    all = %{memory_max: :max, pids_max: :max, cpu_max: {-1, 100}}
    assert Erluv.cmd("echo", ["on"], cgroup: all) == {"on\n", 0}
    assert Erluv.cmd("echo", ["on"], limits: [memory: :infinity]) == {"on\n", 0}
  end

  test "input, of which no more is read than the program wants" do
    assert Erluv.cmd("cat", []) == {"", 0}
    assert Erluv.cmd("cat", [], input: ["a", ["b" | "c"]]) == {"abc", 0}
    assert Erluv.cmd("head", ["-c2"], input: Stream.cycle(["abc"])) == {"ab", 0}
    assert Erluv.cmd("head", ["-c2"], input: :binary.copy("x", 10_000_000)) == {"xx", 0}
    assert mailbox() == []
  end

  test "limits of time and size" do
    script = "echo one; sleep 60 & wait"
    assert Erluv.cmd("sh", ["-c", script], timeout: 300) == {"one\n", :timeout}
    assert Erluv.cmd("sh", ["-c", script], idle_timeout: 300) == {"one\n", :timeout}
    assert Erluv.cmd("yes", [], max_output: 5) == {"y\ny\ny", :max_output}
    assert Erluv.cmd("echo", ["four"], max_output: 5) == {"four\n", 0}
    assert programs() == []
    assert mailbox() == []
  end

  test "stderr is this node's" do
    text =
      capture_io(:stderr, fn -> assert Erluv.cmd("sh", ["-c", "echo err >&2"]) == {"", 0} end)

    assert text == "err\n"
  end

  test "output is collected as it comes" do
    parent = self()
    into = %Erluv.Observed{fun: &send(parent, {:chunk, &1})}
    task = Task.async(fn -> Erluv.cmd("sh", ["-c", "echo one; sleep 60"], into: into) end)
    assert_receive {:chunk, {:cont, "one\n"}}, 120_000
    Task.shutdown(task, :brutal_kill)
  end

  test "whole lines" do
    assert Erluv.cmd("printf", ["a\\nbb\\n\\nccc"], lines: 1, into: []) ==
             {["a", "bb", "", "ccc"], 0}

    # max_output counts the ends of lines too.
    for {max, lines} <- [{0, []}, {1, ["1"]}, {2, ["1"]}, {3, ["1", "2"]}, {4, ["1", "2"]}] do
      assert Erluv.cmd("seq", ["3"], lines: 1, into: [], max_output: max) == {lines, :max_output}
    end

    assert Erluv.cmd("seq", ["3"], lines: 1, into: [], max_output: 6) == {["1", "2", "3"], 0}
    assert Erluv.cmd("seq", ["3"], into: [], max_output: 0) == {[], :max_output}

    assert {lines, :max_output} = Erluv.cmd("yes", [""], lines: 1, into: [], max_output: 1000)
    assert length(lines) == 1000
  end

  # 8 chunks of 256 KiB are sent in advance, and 64 MiB are written.
  test "a collectable that is slow is not sent more than it takes" do
    size = 64 * 1_048_576
    before = :erlang.memory(:binary)

    fun = fn
      {:cont, data} ->
        {n, most} = Process.get(:seen, {0, 0})
        if n < 25 * 1_048_576, do: Process.sleep(2)
        most = max(most, :erlang.memory(:binary) - before)
        Process.put(:seen, {n + byte_size(data), most})

      _ ->
        :ok
    end

    script = ["-c", "head -c #{size} /dev/zero; echo done >&2"]
    into = %Erluv.Observed{fun: fun}
    assert Erluv.cmd("sh", script, into: into, stderr_to_stdout: true) == {into, 0}
    assert {n, most} = Process.get(:seen)
    assert n == size + 5
    assert most < 16 * 1_048_576
  end

  test "a collectable that fails ends the program" do
    parent = self()

    fun = fn
      {:cont, _} -> raise "full"
      command -> send(parent, command)
    end

    assert_raise RuntimeError, "full", fn ->
      Erluv.cmd("yes", [], into: %Erluv.Observed{fun: fun})
    end

    assert_received :halt
    assert programs() == []
    assert mailbox() == []
  end

  test "a command ends with its caller" do
    number = unique_sleep()
    pid = spawn(fn -> Erluv.cmd("sh", ["-c", "sleep #{number} & wait"]) end)
    until(fn -> running(["sleep", number]) != [] end)
    Process.exit(pid, :kill)
    until(fn -> running(["sleep", number]) == [] end)
  end

  test "many at once" do
    1..50
    |> Task.async_stream(fn n -> {n, Erluv.cmd("sh", ["-c", "echo #{n}; exit #{n}"])} end,
      max_concurrency: 50,
      timeout: 60_000
    )
    |> Enum.each(fn {:ok, {n, result}} -> assert result == {"#{n}\n", n} end)
  end
end
