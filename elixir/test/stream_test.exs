defmodule Erluv.StreamTest do
  use Erluv.Case

  alias Erluv.{Error, ExitError}

  test "nothing is started before it is enumerated, and each enumeration starts it anew" do
    stream = Erluv.stream!(["sh", "-c", "echo again"])
    assert workers() == []
    assert Enum.to_list(stream) == ["again\n"]
    assert Enum.to_list(stream) == ["again\n"]
    assert mailbox() == []
  end

  test "chunks are not larger than asked for" do
    chunks = Erluv.stream!(["seq", "1000"], max_chunk_size: 100) |> Enum.to_list()
    assert Enum.all?(chunks, &(byte_size(&1) in 1..100))
    assert Enum.join(chunks) == Enum.map_join(1..1000, &"#{&1}\n")
  end

  test "64 MiB go in and come out again" do
    block = :binary.copy(:crypto.strong_rand_bytes(4096), 16)
    input = Stream.map(1..1024, &[<<&1::32>>, binary_part(block, 4, 65_532)])
    assert hash(Erluv.stream!(["cat"], input: input)) == hash(input)
    assert mailbox() == []
  end

  defp hash(stream) do
    stream
    |> Enum.reduce(:crypto.hash_init(:sha256), &:crypto.hash_update(&2, &1))
    |> :crypto.hash_final()
  end

  test "no more is read than is taken" do
    before = :erlang.memory(:total)
    size = 65_536

    {taken, most} =
      Erluv.stream!(["cat", "/dev/zero"], max_chunk_size: size)
      |> Stream.take(400)
      |> Enum.reduce({0, 0}, fn chunk, {taken, most} ->
        # A slow consumer, as far as it can be seen: what a program wrote has time to come.
        [worker] = workers()
        %{stdout: %{bytes: bytes}} = :erluv.info(worker)
        taken = taken + byte_size(chunk)
        # One waits to be taken, and one may be on its way.
        assert bytes <= taken + 2 * size
        {taken, max(most, :erlang.memory(:total) - before)}
      end)

    assert taken > 0
    assert most < 32 * 1_048_576
    assert mailbox() == []
  end

  test "what there is comes at once, while input is still written" do
    parent = self()

    input = fn sink ->
      send(parent, {:writer, self()})
      for _ <- 1..2, do: Enum.into([receive(do: ({:input, line} -> line))], sink)
    end

    task =
      Task.async(fn ->
        Erluv.stream!(["sh", "-c", "echo one; read x; echo $x; read x; echo $x"], input: input)
        |> Enum.each(&send(parent, {:chunk, &1}))
      end)

    assert_receive {:writer, writer}, 120_000

    assert_receive {:chunk, "one
"},
                   120_000

    send(writer, {:input, "two
"})

    assert_receive {:chunk, "two
"},
                   120_000

    send(writer, {:input, "three
"})

    assert_receive {:chunk, "three
"},
                   120_000

    assert Task.await(task, 120_000) == :ok
  end

  test "halting ends the program and all that it has started, before it returns" do
    number = unique_sleep()
    script = "sleep #{number} & echo ready; exec yes"
    assert ["ready\n" <> _] = Erluv.stream!(["sh", "-c", script]) |> Enum.take(1)
    assert programs() == []
    assert running(["sleep", number]) == []
    assert mailbox() == []
  end

  test "halting ends a program that ignores SIGTERM" do
    script = "trap '' TERM; echo ready; while :; do sleep 1; done"
    stream = Erluv.stream!(["sh", "-c", script], kill_timeout: 200)
    assert Enum.take(stream, 1) == ["ready\n"]
    assert programs() == []
  end

  test "the consumer's end ends the program, whatever it is" do
    for reason <- [:kill, :crash, :normal, :throw] do
      parent = self()
      number = unique_sleep()

      {pid, ref} =
        spawn_monitor(fn ->
          Erluv.stream!(["sh", "-c", "sleep #{number} & echo ready; wait"], stderr: :disable)
          |> Enum.each(fn chunk ->
            send(parent, {:chunk, chunk})

            receive do
              :crash -> exit(:crash)
              :normal -> exit(:normal)
              :throw -> throw(:away)
            end
          end)
        end)

      assert_receive {:chunk, "ready\n"}, 120_000
      if reason == :kill, do: Process.exit(pid, :kill), else: send(pid, reason)
      assert_receive {:DOWN, ^ref, _, _, _}, 120_000
      until(fn -> running(["sleep", number]) == [] end)
    end
  end

  test "an exception in the consumer ends the program before it is raised" do
    assert_raise RuntimeError, "enough", fn ->
      Erluv.stream!(["yes"]) |> Enum.each(fn _ -> raise "enough" end)
    end

    assert programs() == []
    assert mailbox() == []
  end

  test "input that the program does not read is epipe, unless that is ignored" do
    input = Stream.cycle([:binary.copy("x", 100_000)])
    command = ["head", "-c", "10"]

    error =
      assert_raise ExitError, fn -> Erluv.stream!(command, input: input) |> Enum.to_list() end

    assert error.exit == :epipe
    assert Exception.message(error) =~ "head ended before it had read all of its input"

    assert Erluv.stream!(command, input: input, ignore_epipe: true) |> Enum.join() == "xxxxxxxxxx"

    assert Erluv.stream(command, input: input) |> Enum.to_list() == [
             "xxxxxxxxxx",
             {:exit, :epipe}
           ]

    assert mailbox() == []
  end

  test "a program that fails without having read its input failed" do
    assert [exit: {:status, 3}] =
             Erluv.stream(["sh", "-c", "exit 3"], input: Stream.cycle(["x"])) |> Enum.to_list()
  end

  test "an exception in the input is raised in the consumer" do
    bad = Stream.map(1..3, fn n -> if n == 3, do: raise("no more"), else: "#{n}\n" end)

    assert_raise RuntimeError, "no more", fn ->
      Erluv.stream!(["cat"], input: bad) |> Enum.to_list()
    end

    assert catch_throw(Erluv.stream!(["cat"], input: fn _ -> throw(:away) end) |> Enum.to_list()) ==
             :away

    assert catch_exit(Erluv.stream!(["cat"], input: fn _ -> exit(:out) end) |> Enum.to_list()) ==
             :out

    assert_raise ArgumentError, fn ->
      Erluv.stream!(["cat"], input: [:no_iodata]) |> Enum.to_list()
    end

    assert programs() == []
    assert mailbox() == []
  end

  test "halting ends who writes the input" do
    parent = self()

    input = fn sink ->
      send(parent, {:writer, self(), Process.get(:"$callers")})
      Enum.into(Stream.cycle(["x\n"]), sink)
    end

    assert [_] = Erluv.stream!(["cat"], input: input) |> Enum.take(1)
    assert_receive {:writer, writer, callers}, 120_000
    assert hd(callers) == parent
    refute Process.alive?(writer)
    assert mailbox() == []
  end

  test "input is iodata, bytes and tails too" do
    for input <- [
          ["a", ?b],
          ~c"abc",
          ["a" | "b"],
          [?a, ["b" | "c"] | "d"],
          [[~c"a"], "b"],
          [],
          ""
        ] do
      want = IO.iodata_to_binary(input)
      assert {input, Erluv.cmd("cat", [], input: input)} == {input, {want, 0}}
      assert {input, Enum.join(Erluv.stream!(["cat"], input: input))} == {input, want}
    end

    assert_raise ArgumentError, "option :input has what is no iodata: [\"a\", 256]", fn ->
      Erluv.cmd("cat", [], input: ["a", 256])
    end
  end

  test "input is iodata, in pieces of any size" do
    large = :binary.copy("0123456789abcdef", 262_144)

    for input <- [
          "text",
          [],
          [""],
          ["a", ~c"bc", ["d" | "e"]],
          [large, large],
          ~c"abc" |> Enum.map(&[&1])
        ] do
      want = if is_binary(input), do: input, else: IO.iodata_to_binary(input)
      assert Erluv.stream!(["cat"], input: input) |> Enum.join() == want
    end
  end

  test "a collectable may be collected into more than once" do
    input = fn sink ->
      Enum.into(["a"], sink)
      Enum.into(["b"], sink)
    end

    assert Erluv.stream!(["cat"], input: input) |> Enum.join() == "ab"
  end

  test "the exit is raised or emitted" do
    for {script, exit, words} <- [
          {"exit 7", {:status, 7}, "sh ended with the exit status 7"},
          {"kill -KILL $$", {:signal, :sigkill}, "sh was ended by SIGKILL"},
          {"ulimit -c 0; kill -SEGV $$", {:signal, :sigsegv}, "sh was ended by SIGSEGV"}
        ] do
      command = ["sh", "-c", "echo out; " <> script]
      assert Erluv.stream(command) |> Enum.to_list() == ["out\n", {:exit, exit}]
      error = assert_raise ExitError, fn -> Erluv.stream!(command) |> Stream.run() end
      assert %{exit: ^exit, command: ^command} = error
      assert Exception.message(error) == words
    end
  end

  test "time limits" do
    assert Erluv.stream(["sleep", "60"], timeout: 100) |> Enum.to_list() == [exit: :timeout]

    assert Erluv.stream(["sleep", "60"], idle_timeout: 100) |> Enum.to_list() == [
             exit: :timeout
           ]

    error =
      assert_raise ExitError, fn ->
        Erluv.stream!(["sleep", "60"], timeout: 100) |> Stream.run()
      end

    assert Exception.message(error) == "sleep was stopped after its :timeout or :idle_timeout"
  end

  test "a program that goes on after its output is waited for, or not" do
    command = ["sh", "-c", "echo out; exec >/dev/null 2>&1; read x; sleep 60"]
    options = [input: ["\n"], exit_timeout: 100]

    assert Erluv.stream(command, options) |> Enum.to_list() == [
             "out\n",
             {:exit, {:signal, :sigterm}}
           ]

    command = ["sh", "-c", "exec >/dev/null 2>&1; sleep 0.2; exit 4"]
    assert Erluv.stream(command) |> Enum.to_list() == [exit: {:status, 4}]
  end

  test "stderr" do
    command = ["sh", "-c", "echo out; echo err >&2"]
    test = self()

    console =
      capture_io(:stderr, fn -> send(test, {:out, Erluv.stream!(command) |> Enum.to_list()}) end)

    assert console == "err\n"
    assert_received {:out, ["out\n"]}

    assert Erluv.stream!(command, stderr: :redirect_to_stdout) |> Enum.join() == "out\nerr\n"
    assert Erluv.stream!(command, stderr_to_stdout: true) |> Enum.join() == "out\nerr\n"
    assert Erluv.stream!(command, stderr: :disable) |> Enum.to_list() == ["out\n"]
    assert Erluv.stream!(command, stderr: {:file, "/dev/null"}) |> Enum.to_list() == ["out\n"]

    assert Erluv.stream(command, stderr: :consume) |> Enum.sort() ==
             [exit: {:status, 0}, stderr: "err\n", stdout: "out\n"]
  end

  test "both streams are read, whichever is written first" do
    script = "head -c 1000000 /dev/zero >&2; head -c 1000000 /dev/zero"

    sizes =
      Erluv.stream!(["sh", "-c", script], stderr: :consume)
      |> Enum.reduce(%{}, fn {stream, data}, sizes ->
        Map.update(sizes, stream, byte_size(data), &(&1 + byte_size(data)))
      end)

    assert sizes == %{stdout: 1_000_000, stderr: 1_000_000}
  end

  test "lines are whole, whatever is buffered" do
    long = String.duplicate("x", 1000)
    command = ["printf", "one\\n\\n" <> long <> "\\nlast"]
    assert Erluv.stream!(command, lines: 10) |> Enum.to_list() == ["one", "", long, "last"]
    assert Erluv.stream!(["printf", "a\\n"], lines: 10) |> Enum.to_list() == ["a"]

    assert Erluv.stream!(["sh", "-c", "echo err >&2"], lines: 10, stderr: :consume)
           |> Enum.to_list() ==
             [stderr: "err"]

    # Each stream has lines of its own, and the last one of it is whole when the stream ends.
    both =
      "printf a; printf b >&2; printf 'a\\nend'; printf 'b\\n' >&2; exec >&- 2>&-; exec sleep 60"

    assert Erluv.stream!(["sh", "-c", both], lines: 10, stderr: :consume)
           |> Enum.take(3)
           |> Enum.sort() == [stderr: "bb", stdout: "aa", stdout: "end"]

    # The time after the output begins with its end, also while the consumer is busy.
    command = ["sh", "-c", "echo a; exec >&- 2>&-; exec sleep 60"]

    assert Erluv.stream(command, lines: 10, exit_timeout: 100)
           |> Enum.map(fn element ->
             until(fn -> programs() == [] end)
             element
           end) == ["a", {:exit, {:signal, :sigterm}}]

    # A line that is kept does not keep its chunk.
    assert Erluv.stream!(["seq", "1000000"], lines: 10)
           |> Enum.map(&:binary.referenced_byte_size/1)
           |> Enum.max() < 256
  end

  # A call for each line would be half a million of them.
  test "the lines of a chunk are handed over together" do
    lines = 524_288
    :erlang.trace(self(), true, [:receive])
    stream = Erluv.stream!(["sh", "-c", "yes | head -n #{lines}; printf last"], lines: 10)
    assert Enum.frequencies(stream) == %{"y" => lines, "last" => 1}
    :erlang.trace(self(), false, [:receive])
    assert traced(0) < div(lines, 10)
  end

  test "a line of many chunks, one that ends with its chunk, and one that comes alone" do
    script = "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo y; printf 'z\\n\\nlast'"
    long = String.duplicate("x", 3_000_000)

    assert Erluv.stream!(["sh", "-c", script], lines: 80) |> Enum.to_list() == [
             long,
             "y",
             "z",
             "",
             "last"
           ]

    assert Erluv.stream!(["printf", "abcd\\ne"], lines: 80, max_chunk_size: 5) |> Enum.to_list() ==
             ["abcd", "e"]

    assert Erluv.stream!(["sh", "-c", "echo one; exec sleep 60"], lines: 80) |> Enum.take(1) == [
             "one"
           ]
  end

  defp traced(count) do
    receive do
      {:trace, _, :receive, _} -> traced(count + 1)
    after
      0 -> count
    end
  end

  test "streams side by side" do
    numbers = fn from -> Erluv.stream!(["seq", "#{from}", "100000"], lines: 80) end
    assert Stream.zip(numbers.(1), numbers.(11)) |> Enum.take(2) == [{"1", "11"}, {"2", "12"}]
    assert programs() == []

    nested = Stream.flat_map(numbers.(99_999), fn n -> Erluv.stream!(["echo", n]) end)
    assert Enum.join(nested) == "99999\n100000\n"
    assert mailbox() == []
  end

  test "one stream is the input of another" do
    assert Erluv.stream!(["seq", "100000"])
           |> then(&Erluv.stream!(["sort", "-rn"], input: &1))
           |> then(&Erluv.stream!(["head", "-n", "2"], input: &1, ignore_epipe: true))
           |> Enum.join() == "100000\n99999\n"
  end

  test "what cannot be started is raised when it is enumerated" do
    stream = Erluv.stream!(["no-such-program"])
    assert_raise ErlangError, "Erlang error: :enoent", fn -> Enum.to_list(stream) end

    assert_raise ErlangError, "Erlang error: :eacces", fn ->
      Enum.to_list(Erluv.stream!(["/etc/passwd"]))
    end

    assert_raise Error, fn -> Enum.to_list(Erluv.stream!(["cat"], node: :no_such_node)) end

    error =
      assert_raise ArgumentError, fn -> Enum.to_list(Erluv.stream!(["cat"], colour: :red)) end

    assert Exception.message(error) =~ "option :colour"
    assert mailbox() == []
  end

  test "what is wrong is raised at once" do
    for {options, words} <- [
          {[max_chunk_size: 0], "option :max_chunk_size is 1 to 262144 bytes, got: 0"},
          {[lines: true], "option :lines is a number of bytes, got: true"},
          {[exit_timeout: -1], "option :exit_timeout is milliseconds, or :infinity, got: -1"},
          {[ignore_epipe: 1], "option :ignore_epipe is true or false, got: 1"},
          {[stderr: :nowhere], "option :stderr is :console"},
          {[stderr: :disable, stderr_to_stdout: true], "exclude each other"},
          {[input: 1], "option :input is iodata, an enumerable of it"},
          {[flow: :auto], "option :flow is for :erluv.spawn/3"},
          {[pty: true], "option :pty is for :erluv.spawn/3"},
          {[ready: :notify], "option :ready is for Erluv.Daemon"},
          {[cgroup_base: "x"], "option :cgroup_base is not had: give limits:"}
        ] do
      error = assert_raise ArgumentError, fn -> Erluv.stream!(["cat"], options) end
      assert Exception.message(error) =~ words
    end

    for command <- ["ls -l", [], [:ls], nil] do
      assert_raise ArgumentError, fn -> Erluv.stream!(command) end
    end
  end

  test "the node is an option, or configured" do
    {:ok, pid} = :erluv_node.start_link(name: :other)
    {:ok, node} = :erluv_node.node(pid)
    script = ["sh", "-c", "echo $PPID"]
    [here] = Erluv.stream!(script) |> Enum.to_list()
    there = for node <- [:other, pid, node], do: Erluv.stream!(script, node: node) |> Enum.join()
    Application.put_env(:erluv_ex, :node, :other)
    configured = Erluv.stream!(script) |> Enum.join()
    Application.delete_env(:erluv_ex, :node)
    :ok = :erluv_node.stop(pid)
    # In a pid namespace both spawners are process 1.
    assert Enum.uniq([configured | there]) == [configured]
    assert here =~ ~r/^\d+\n$/
    assert_raise Error, fn -> Erluv.stream!(script, node: node) |> Enum.to_list() end
  end

  test "the crash of erluv's child is raised" do
    {:ok, pid} = :erluv_node.start_link(name: :crashing)

    error =
      assert_raise Error, fn ->
        Erluv.stream!(["sh", "-c", "echo ready; sleep 60"], node: :crashing)
        |> Enum.each(fn "ready\n" ->
          child = :erluv.info(:crashing, :child_os_pid)
          {_, 0} = System.cmd("kill", ["-KILL", "#{child}"])
        end)
      end

    assert error.reason == :child_crashed
    assert mailbox() == []
    :ok = :erluv_node.stop(pid)
  end

  test "the end of erluv is raised" do
    {:ok, pid} = :erluv_node.start_link(name: :ending)

    assert_raise Error, fn ->
      Erluv.stream!(["sh", "-c", "echo ready; sleep 60"], node: :ending)
      |> Enum.each(fn "ready\n" -> :ok = :erluv_node.stop(pid) end)
    end

    assert mailbox() == []
  end
end
