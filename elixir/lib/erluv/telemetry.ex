defmodule Erluv.Telemetry do
  @moduledoc """
  The events for `:telemetry`, in a project that has it. Nothing needs to be configured.

      :telemetry.attach_many("programs", Erluv.Telemetry.events(), &MyApp.Programs.handle/4, nil)

  Or, with `telemetry_metrics`:

      summary("erluv.run.stop.duration", unit: {:native, :millisecond}, tags: [:program]),
      counter("erluv.worker.exception.duration", tags: [:program]),
      counter("erluv.node.child_crashed.system_time"),
      distribution("erluv.flow.resumed.duration", unit: {:native, :millisecond}, tags: [:program])

  The events are `[:erluv, :run | :worker, :start | :stop | :exception]`,
  `[:erluv, :node, :up | :down | :child_crashed]` and `[:erluv, :flow, :paused | :resumed]`. The
  Erlang module has when each is emitted, with which measurements and metadata:
  `h :erluv_telemetry`. `Erluv.cmd/3`, `Erluv.stream!/2` and `Erluv.stream/2` are runs;
  the program of an `Erluv.Daemon` is a worker.

  Neither arguments nor the environment are in the metadata, only the `:program` and how many
  `:arguments` it has. Handlers run in the process that has the program: they must be quick.
  """

  @doc """
  The names of all events.

  ## Examples

      iex> [:erluv, :run, :stop] in Erluv.Telemetry.events()
      true
  """
  @spec events() :: [[atom()]]
  defdelegate events, to: :erluv_telemetry
end
