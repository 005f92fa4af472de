defmodule Erluv.Tally do
  # Reports the results of ExUnit in the form of go test -json, which test/tally counts.
  use GenServer

  @package "erluv/elixir"

  @impl true
  def init(_options), do: {:ok, 0}

  @impl true
  def handle_cast({:test_finished, %ExUnit.Test{} = test}, failed) do
    name = "#{inspect(test.module)}: #{test.name}"

    case test.state do
      nil ->
        event("pass", name)
        {:noreply, failed}

      {:failed, failures} ->
        fail(
          name,
          ExUnit.Formatter.format_test_failure(test, failures, failed + 1, 100, &plain/2)
        )

        {:noreply, failed + 1}

      # No test is to be skipped or excluded.
      {state, why} ->
        fail(name, "#{state}: #{inspect(why)}")
        {:noreply, failed + 1}
    end
  end

  def handle_cast({:module_finished, %ExUnit.TestModule{state: {:failed, failures}} = module}, n) do
    text = ExUnit.Formatter.format_test_all_failure(module, failures, n + 1, 100, &plain/2)
    fail(inspect(module.name), text)
    {:noreply, n + 1}
  end

  def handle_cast({:suite_finished, _times}, failed) do
    event(if(failed == 0, do: "pass", else: "fail"), nil)
    {:noreply, failed}
  end

  def handle_cast(_event, failed), do: {:noreply, failed}

  defp plain(_key, text), do: text

  defp fail(name, text) do
    line(Action: "output", Package: @package, Test: name, Output: "--- FAIL: #{name}\n#{text}\n")
    event("fail", name)
  end

  defp event(action, nil), do: line(Action: action, Package: @package)
  defp event(action, name), do: line(Action: action, Package: @package, Test: name)

  defp line(pairs) do
    text = Enum.map_join(pairs, ",", fn {key, value} -> "\"#{key}\":\"#{escape(value)}\"" end)
    IO.puts(:user, "{#{text}}")
  end

  defp escape(text), do: for(<<char::utf8 <- text>>, into: "", do: char(char))

  defp char(?"), do: "\\\""
  defp char(?\\), do: "\\\\"
  defp char(c) when c < 32, do: "\\u" <> String.pad_leading(Integer.to_string(c, 16), 4, "0")
  defp char(c), do: <<c::utf8>>
end
