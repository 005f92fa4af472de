defmodule Erluv.Cgroup do
  @moduledoc false
  # MuonTrap's option :cgroup in erluv's terms: the files of a control group, version 2, and
  # what may be written into them (cgroup-v2.rst of Linux). How large a limit may be, erluv
  # checks itself.

  # Microseconds: the period that the kernel takes when cpu.max is given none.
  @period 100_000

  @doc "What there is in the place of MuonTrap's options of control groups."
  def instead, do: "is not had: give limits: %{memory: bytes, pids: count, cpu: percent}"

  @doc "The same as the option limits of erluv. What a file would not take raises."
  def limits!(settings) do
    unless keyword?(settings) do
      refuse!("is a map or keyword list of memory_max, pids_max and cpu_max", settings)
    end

    for {key, value} <- settings, {_, n} = limit <- [limit(key, value)], n != :max, into: %{} do
      limit
    end
  end

  defp keyword?(settings) when is_struct(settings), do: false
  defp keyword?(%{} = settings), do: settings |> Map.keys() |> Enum.all?(&is_atom/1)
  defp keyword?(settings), do: Keyword.keyword?(settings)

  defp limit(:memory_max, value) do
    case read(value) do
      :max -> {:memory, :max}
      bytes when is_integer(bytes) and bytes > 0 -> {:memory, bytes}
      _ -> refuse!("with memory_max is a number of bytes above 0, or :max", value)
    end
  end

  defp limit(:pids_max, value) do
    case read(value) do
      :max -> {:pids, :max}
      count when is_integer(count) and count > 0 -> {:pids, count}
      _ -> refuse!("with pids_max is a number of processes above 0, or :max", value)
    end
  end

  defp limit(:cpu_max, value) do
    with {quota, period} <- quota(value),
         period when is_integer(period) and period > 0 <- read(period),
         {:ok, percent} <- percent(read(quota), period) do
      {:cpu, percent}
    else
      _ ->
        refuse!(
          "with cpu_max is {quota, period} in microseconds, at least 1 percent, or :max",
          value
        )
    end
  end

  defp limit(key, _), do: raise(ArgumentError, "option :cgroup with #{key} #{instead()}")

  # As in the file: the period may be missing.
  defp quota({quota, period}), do: {quota, period}

  defp quota(text) when is_binary(text) do
    case String.split(text) do
      [quota, period] -> {quota, period}
      [quota] -> {quota, @period}
      _ -> :error
    end
  end

  defp quota(quota), do: {quota, @period}

  # -1 is version 1's word for no limit (cpu.cfs_quota_us).
  defp percent(quota, _) when quota in [:max, -1], do: {:ok, :max}

  defp percent(quota, period) when is_integer(quota) and quota * 100 >= period,
    do: {:ok, div(quota * 100, period)}

  defp percent(_, _), do: :error

  defp read(:infinity), do: :max

  defp read(text) when is_binary(text) do
    case {String.trim(text), Integer.parse(String.trim(text))} do
      {"max", _} -> :max
      {_, {number, ""}} -> number
      _ -> :error
    end
  end

  defp read(value), do: value

  defp refuse!(right, value),
    do: raise(ArgumentError, "option :cgroup #{right}, got: #{inspect(value)}")
end
