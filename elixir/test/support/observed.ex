defmodule Erluv.Observed do
  # A collectable that calls a function with each command.
  defstruct [:fun]

  defimpl Collectable do
    def into(observed) do
      {observed,
       fn observed, command ->
         observed.fun.(command)
         observed
       end}
    end
  end
end
