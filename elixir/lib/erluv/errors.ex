defmodule Erluv.ExitError do
  @moduledoc """
  A program of a stream has not ended well.

  `exit` is how it ended, as `t:Erluv.exit/0` has it, and `command` its program and arguments.

      iex> try do
      ...>   Erluv.stream!(["sh", "-c", "exit 3"]) |> Stream.run()
      ...> rescue
      ...>   error in Erluv.ExitError -> error.exit
      ...> end
      {:status, 3}
  """

  defexception [:exit, :command]

  @type t() :: %__MODULE__{exit: Erluv.exit(), command: Erluv.command()}

  @impl true
  def message(%{exit: exit, command: [program | _]}), do: "#{program} #{words(exit)}"

  defp words({:status, status}), do: "ended with the exit status #{status}"
  defp words({:signal, signal}), do: "was ended by #{signal(signal)}"
  defp words(:timeout), do: "was stopped after its :timeout or :idle_timeout"
  defp words(:epipe), do: "ended before it had read all of its input (see :ignore_epipe)"

  defp signal(signal) when is_atom(signal), do: signal |> Atom.to_string() |> String.upcase()
  defp signal(number), do: "the signal #{number}"
end

defmodule Erluv.Error do
  @moduledoc """
  A program could not be started, or was lost, for a reason that is not an error of the system.

  `reason` is what erluv said, and `command` program and arguments.

      iex> Erluv.cmd("echo", [], cd: "/no/such/directory")
      ** (Erluv.Error) echo: cd: the directory cannot be used: no such file or directory (enoent)

      iex> Erluv.cmd("echo", [], node: :"no_such@node")
      ** (Erluv.Error) echo: #{:erluv.format_error(:nodedown)}
  """

  defexception [:reason, :command]

  @type t() :: %__MODULE__{reason: term(), command: Erluv.command()}

  @impl true
  def message(%{reason: reason, command: [program | _]}),
    do: "#{program}: #{:erluv.format_error(reason)}"
end
