defmodule Erluv.AgainTest do
  # The erluv of an application is killed: one restart for each of its daemons.
  use Erluv.Case, async: false

  for strategy <- [:one_for_one, :rest_for_one] do
    test "daemons survive that erluv is killed: #{strategy}" do
      parent = self()

      daemon = fn id ->
        args = ["-c", "echo started; exec sleep 60"]
        opts = [node: :again, logger_fun: &send(parent, {id, &1})]
        Supervisor.child_spec({Erluv.Daemon, ["sh", args, opts]}, id: id)
      end

      {:ok, sup} =
        Supervisor.start_link([{Erluv, name: :again}, daemon.(:one)],
          strategy: unquote(strategy),
          max_restarts: 1
        )

      owner = Process.whereis(:again)
      assert_receive {:one, "started"}, 120_000
      kill(:again)
      assert_receive {:one, "started"}, 120_000
      assert Process.whereis(:again) == owner
      assert Process.alive?(sup)
      Supervisor.stop(sup)
      refute_received {_, _}
    end
  end

  test "commands wait for the next erluv, or say that it was lost" do
    {:ok, pid} = :erluv_node.start_link(name: :again)

    results =
      for _ <- 1..3, reduce: [] do
        results ->
          task = Task.async(fn -> for(_ <- 1..30, do: cmd()) end)
          kill(:again)
          Task.await(task, 120_000) ++ results
      end

    lost = "echo: " <> to_string(:erluv.format_error(:noconnection))
    assert [] = Enum.reject(results, &(&1 in [{"x\n", 0}, lost]))
    assert Enum.count(results, &(&1 == {"x\n", 0})) > Enum.count(results, &(&1 == lost))
    :ok = :erluv_node.stop(pid)
  end

  test "a stream says that its erluv was lost" do
    {:ok, pid} = :erluv_node.start_link(name: :again)

    assert_raise Erluv.Error, ~r/^sh: the connection to the erluv node was lost/, fn ->
      Erluv.stream!(["sh", "-c", "echo x; exec sleep 60"], node: :again)
      |> Enum.each(fn "x\n" -> kill(:again) end)
    end

    :ok = :erluv_node.stop(pid)
  end

  defp cmd do
    Erluv.cmd("echo", ["x"], node: :again)
  rescue
    error in Erluv.Error -> Exception.message(error)
  end

  defp kill(node) do
    {_, 0} = System.cmd("kill", ["-KILL", "#{:erluv.info(node, :main_os_pid)}"])
  end
end
