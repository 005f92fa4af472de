defmodule Erluv.TopTest do
  use Erluv.Case

  test "one picture, of the default node and of another" do
    {:ok, _} = :erluv.spawn(:erluv, ["sleep", "60"], %{name: :sleeper})

    assert capture_io(fn -> :ok = Erluv.top(once: true, interval: 200) end) =~
             ~r/^sleeper +running/m

    assert capture_io(fn -> :ok = Erluv.top(:erluv, once: true, interval: 200, rows: 1) end) =~
             ~r/^programs 1 /m

    assert capture_io(fn -> :ok = Erluv.top(node: :erluv, once: true, interval: 200) end) =~
             "sleeper"

    assert {:error, {:no_node, :gone}} = Erluv.top(:gone)
    assert {:error, {:bad_option, :colour, _}} = Erluv.top(colour: :red)
  end

  # What is typed there ends at once: a line that is read is Enter.
  test "it ends with a line" do
    assert capture_io([input: "\n", capture_prompt: false], fn -> :ok = Erluv.top() end) =~
             "ends with Enter"
  end
end
