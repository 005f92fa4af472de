defmodule Erluv.TelemetryTest do
  # A stand-in for telemetry hands each event to the test, as a handler of the real one would.
  use Erluv.Case

  doctest Erluv.Telemetry

  setup do
    Process.register(self(), :erluv_telemetry_test)
    Process.flag(:trap_exit, true)

    [{:telemetry, _}] =
      Code.compile_string("""
      defmodule :telemetry do
        def execute([_ | _] = event, %{} = measurements, %{} = metadata) do
          if pid = Process.whereis(:erluv_telemetry_test),
            do: send(pid, {:telemetry, event, measurements, metadata})

          :ok
        end
      end
      """)

    on_exit(fn ->
      :code.delete(:telemetry)
      :code.purge(:telemetry)
    end)
  end

  defp next do
    assert_receive {:telemetry, event, measurements, metadata}, 120_000
    assert event in Erluv.Telemetry.events()
    assert is_integer(measurements.monotonic_time)
    {event, measurements, metadata}
  end

  test "a command is a run" do
    {"s3cret\n", 0} = Erluv.cmd("echo", ["s3cret"], env: [{"KEY", "s3cret"}])
    {[:erluv, :run, :start], %{system_time: _}, begun} = next()
    assert %{server: :erluv, node: node, program: "echo", arguments: 1, worker: worker} = begun
    assert node == node(worker)
    {[:erluv, :run, :stop], %{duration: duration}, ended} = next()
    assert duration > 0
    assert ended == Map.put(begun, :exit, {:exit_status, 0})
    refute inspect({begun, ended}) =~ "s3cret"

    {"", 3} = Erluv.cmd("sh", ["-c", "exit 3"])
    {[:erluv, :run, :start], _, _} = next()
    {[:erluv, :run, :stop], _, %{exit: {:exit_status, 3}}} = next()
    refute_received {:telemetry, _, _, _}
  end

  test "what fails is an exception" do
    catch_error(Erluv.cmd("no-such-program", []))
    {[:erluv, :run, :start], _, %{program: "no-such-program"} = begun} = next()
    {[:erluv, :run, :exception], %{duration: _}, ended} = next()
    assert ended == Map.merge(begun, %{kind: :error, reason: :enoent, stacktrace: []})

    {"", :timeout} = Erluv.cmd("sleep", ["60"], timeout: 50)
    {[:erluv, :run, :start], _, _} = next()
    {[:erluv, :run, :exception], _, %{kind: :exit, reason: :timeout}} = next()
  end

  test "a stream that is halted, or whose consumer ends, is over" do
    assert ["y\n" | _] = Erluv.stream!(["yes"], max_chunk_size: 2) |> Enum.take(1)
    {[:erluv, :run, :start], _, %{program: "yes"}} = next()
    {[:erluv, :run, :stop], _, %{exit: {:signal, _}}} = next()

    pid = spawn(fn -> Erluv.stream!(["yes"]) |> Stream.run() end)
    {[:erluv, :run, :start], _, _} = next()
    Process.exit(pid, :kill)
    {[:erluv, :run, :stop], _, %{exit: {:signal, _}}} = next()
  end

  test "a daemon is a worker" do
    {:ok, daemon} = Erluv.Daemon.start_link("sleep", ["60"], name: :sleeper)
    {[:erluv, :worker, :start], _, begun} = next()

    assert %{name: :sleeper, program: "sleep", arguments: 1, worker: worker, os_pid: os_pid} =
             begun

    assert {worker, os_pid} == {:erluv_worker.worker(daemon), Erluv.Daemon.os_pid(daemon)}
    GenServer.stop(daemon)
    {[:erluv, :worker, :stop], _, ended} = next()
    assert ended == Map.put(begun, :reason, :shutdown)

    {:ok, _} = Erluv.Daemon.start_link("false", [])
    {[:erluv, :worker, :start], _, _} = next()
    {[:erluv, :worker, :exception], _, %{kind: :exit, reason: {:exit_status, 1}}} = next()
  end
end
