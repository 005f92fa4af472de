defmodule ErluvTest do
  use Erluv.Case

  doctest Erluv
  doctest Erluv.ExitError
  doctest Erluv.Error
  doctest Erluv.Daemon
end
