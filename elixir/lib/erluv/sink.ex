defmodule Erluv.Sink do
  @moduledoc false
  # The stdin of a program as a collectable.

  @enforce_keys [:worker]
  defstruct [:worker]

  # A request may have 16 MiB.
  @max_write 1_048_576

  @doc "Writes all of an input. Throws `{Erluv.Sink, reason}` when nobody reads it any more."
  def write_all(worker, input) when is_function(input, 1), do: input.(%__MODULE__{worker: worker})

  def write_all(worker, input) do
    if bytes?(input), do: write(worker, input), else: Enum.each(input, &write(worker, &1))
  end

  # A list that is iodata as a whole, and none of it: bytes are no pieces, nor is a tail.
  defp bytes?(input),
    do: is_list(input) and (List.improper?(input) or Enum.any?(input, &is_integer/1))

  @doc "Writes iodata, in pieces."
  def write(worker, data), do: write_binary(worker, binary(data))

  defp binary(data) do
    IO.iodata_to_binary(data)
  rescue
    ArgumentError ->
      reraise ArgumentError,
              "option :input has what is no iodata: #{inspect(data, limit: 10, printable_limit: 100)}",
              __STACKTRACE__
  end

  defp write_binary(worker, <<piece::binary-size(@max_write), rest::binary>>) when rest != "" do
    write_piece(worker, piece)
    write_binary(worker, rest)
  end

  defp write_binary(worker, piece), do: write_piece(worker, piece)

  defp write_piece(worker, piece) do
    case :erluv.write(worker, piece) do
      :ok -> :ok
      {:error, reason} -> throw({__MODULE__, reason})
    end
  end

  defimpl Collectable do
    def into(sink) do
      {sink,
       fn
         sink, {:cont, data} ->
           Erluv.Sink.write(sink.worker, data)
           sink

         sink, :done ->
           sink

         _, :halt ->
           :ok
       end}
    end
  end
end
