defmodule Erluv.Sink do
  @moduledoc false
  # The stdin of a program as a collectable. A piece is written while the answer of the one before
  # is still to come, so that the program never waits for this side.

  @enforce_keys [:worker]
  defstruct [:worker, asked: nil]

  # A request may have 16 MiB.
  @max_write 1_048_576

  @doc "Writes all of an input. Throws `{Erluv.Sink, reason}` when nobody reads it any more."
  def write_all(worker, input) when is_function(input, 1), do: input.(%__MODULE__{worker: worker})

  def write_all(worker, input) do
    sink = %__MODULE__{worker: worker}
    pieces = if bytes?(input), do: [input], else: input
    pieces |> Enum.reduce(sink, &write(&2, &1)) |> answered()
  end

  # A list that is iodata as a whole, and none of it: bytes are no pieces, nor is a tail.
  defp bytes?(input),
    do: is_list(input) and (List.improper?(input) or Enum.any?(input, &is_integer/1))

  @doc "Writes iodata, in pieces."
  def write(sink, data), do: write_binary(sink, binary(data))

  defp binary(data) do
    IO.iodata_to_binary(data)
  rescue
    ArgumentError ->
      reraise ArgumentError,
              "option :input has what is no iodata: #{inspect(data, limit: 10, printable_limit: 100)}",
              __STACKTRACE__
  end

  defp write_binary(sink, <<piece::binary-size(@max_write), rest::binary>>) when rest != "",
    do: sink |> write_piece(piece) |> write_binary(rest)

  defp write_binary(sink, piece), do: write_piece(sink, piece)

  defp write_piece(sink, piece) do
    asked = :erluv_call.ask(sink.worker, {:write, piece})
    %{answered(sink) | asked: asked}
  end

  @doc "Waits until the last piece is in the pipe."
  def answered(%{asked: nil} = sink), do: sink

  def answered(%{asked: asked} = sink) do
    case :erluv_call.answer(asked) do
      :ok -> %{sink | asked: nil}
      {:error, reason} -> throw({__MODULE__, reason})
    end
  end

  defimpl Collectable do
    def into(sink) do
      {sink,
       fn
         sink, {:cont, data} -> Erluv.Sink.write(sink, data)
         sink, :done -> Erluv.Sink.answered(sink)
         _, :halt -> :ok
       end}
    end
  end
end
