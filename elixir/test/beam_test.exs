defmodule Erluv.BeamTest do
  # What is left when the BEAM is killed: nothing.
  use Erluv.Case

  test "SIGKILL of the BEAM ends a daemon's program and all that it has started" do
    peer = peer()
    number = unique_sleep()
    args = ["sh", ["-c", "sleep #{number} & wait"]]
    {:ok, _} = call(peer, Erluv.Case, :forever, [Erluv.Daemon, :start_link, args])
    until(fn -> running(["sleep", number]) != [] end)
    main = call(peer, :erluv, :info, [:erluv, :main_os_pid])
    kill_beam(peer)
    until(fn -> running(["sleep", number]) == [] end)
    until(fn -> not alive?(main) end)
  end

  test "SIGKILL of the BEAM ends the program of a stream" do
    peer = peer()
    number = unique_sleep()
    stream = Erluv.stream!(["sh", "-c", "sleep #{number} & wait"])
    call(peer, :erlang, :spawn, [Stream, :run, [stream]])
    until(fn -> running(["sleep", number]) != [] end)
    kill_beam(peer)
    until(fn -> running(["sleep", number]) == [] end)
  end
end
