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
end
