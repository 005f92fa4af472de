defmodule ErluvTest do
  use Erluv.Case

  doctest Erluv
  doctest Erluv.ExitError
  doctest Erluv.Error
  doctest Erluv.Daemon
  doctest Erluv.Host

  test "a child of a supervisor" do
    start_supervised!({Erluv, name: :second, settings: [max_workers: 1]})
    assert Erluv.cmd("echo", ["hello"], node: :second) == {"hello\n", 0}
    assert :erluv.info(:second, :max_workers) == 1
    :ok = stop_supervised(:second)

    assert_raise Erluv.Error, ~r/^echo: no erluv_node runs as :second/, fn ->
      Erluv.cmd("echo", ["hello"], node: :second)
    end
  end

  test "an erluv that other nodes have too" do
    other = :"other_#{System.unique_integer([:positive])}@127.0.0.1"
    cookie = Atom.to_charlist(Node.get_cookie())

    {:ok, peer, _} =
      :peer.start_link(%{
        connection: :standard_io,
        args:
          [~c"-name", Atom.to_charlist(other), ~c"-setcookie", cookie] ++
            [
              ~c"-start_epmd",
              ~c"false",
              ~c"-kernel",
              ~c"inet_dist_use_interface",
              ~c"{127,0,0,1}"
            ]
      })

    settings = [nodes: [other], listen: :local, allow_nodes: ["other_*@*"], lost_after: 1000]
    start_supervised!({Erluv, name: :shared, settings: settings})
    {:ok, node} = :erluv_node.node(:shared)
    until(fn -> call(peer, :erlang, :nodes, [:hidden]) == [node] end)
    {:ok, worker} = :erluv.spawn(:shared, ["sleep", "60"])
    info = call(peer, :gen_server, :call, [worker, :info, :infinity])
    assert info.cmd == ["sleep", "60"]
    :ok = stop_supervised(:shared)
    :peer.stop(peer)
  end
end
