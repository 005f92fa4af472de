defmodule Erluv.Run do
  @moduledoc false
  # One run of a program, for one consumer: a process that owns the worker, ends with the
  # consumer, and hands it one chunk after the other. The consumer cuts lines. Beside it a process
  # reads each stream, and waits until its chunk is taken; another writes the input.
  #
  # With push: true the worker sends chunks by itself, some in advance, and no process reads: a
  # short program then costs one request.

  use GenServer

  alias Erluv.{Options, Sink}

  # So many chunks are sent in advance, of 256 KiB at most each.
  @credit 8

  @enforce_keys [:node, :command, :options, :size]
  defstruct [
    :node,
    :command,
    :options,
    :input,
    :size,
    lines: false,
    push: false,
    console: false,
    tagged: false,
    captured: :stdout,
    ignore_epipe: false,
    exit_timeout: :infinity
  ]

  @doc "What the worker of such a run is started with."
  def flow(push), do: {:active, if(push, do: @credit, else: false)}

  @doc """
  The chunks or lines, of a spec with tagged: true as `{:stdout | :stderr, data}`. What `last` makes
  of the exit follows them.
  """
  def stream(%__MODULE__{} = spec, last) do
    rests = if spec.lines, do: %{}
    Stream.resource(fn -> {start(spec), rests} end, &next(&1, spec, last), &stop/1)
  end

  defp start(spec) do
    callers = [self() | Process.get(:"$callers", [])]

    case GenServer.start(__MODULE__, {self(), callers, spec}) do
      {:ok, run} -> run
      {:error, {:shutdown, {:not_started, reason}}} -> Options.raise_start(reason, spec.command)
      {:error, reason} -> exit(reason)
    end
  end

  # rests: of each stream what belongs to a line that has not ended; nil: chunks are not cut; :done:
  # the exit was the last element.
  defp next({_, :done} = acc, _, _), do: {:halt, acc}

  defp next({run, rests}, spec, last) do
    case GenServer.call(run, :next, :infinity) do
      {:exit, exit} ->
        {last.(exit), {run, :done}}

      {:raise, kind, reason, stacktrace} ->
        :erlang.raise(kind, reason, stacktrace)

      {stream, data} ->
        {elements, rests} = elements(stream, data, rests)
        {if(spec.tagged, do: Enum.map(elements, &{stream, &1}), else: elements), {run, rests}}
    end
  end

  defp elements(_, chunk, nil), do: {[chunk], nil}

  defp elements(stream, data, rests) do
    {lines, rest} = cut(data, Map.get(rests, stream, ""))
    {lines, Map.put(rests, stream, rest)}
  end

  @doc "The lines that end in a chunk or with the stream, and the rest, which is for the next call."
  def cut(:eof, ""), do: {[], ""}
  def cut(:eof, rest), do: {[IO.iodata_to_binary(rest)], ""}

  def cut(chunk, rest) do
    case String.split(chunk, "\n") do
      [part] -> {[], [rest | part]}
      [first | parts] -> copies(parts, [IO.iodata_to_binary([rest | first])])
    end
  end

  # A line that the consumer keeps must not keep the chunk.
  defp copies([part], lines), do: {:lists.reverse(lines), :binary.copy(part)}
  defp copies([line | parts], lines), do: copies(parts, [:binary.copy(line) | lines])

  defp stop({run, _}) do
    GenServer.call(run, :stop, :infinity)
  catch
    # It was killed, and the program with it.
    :exit, _ -> :ok
  end

  # span: of telemetry. consumer: who waits for a chunk. offers: chunks that wait, with the reader of
  # each.
  # readers: those of which the consumer has something, or the streams that are sent, until their
  # ends. taken: chunks that were sent and taken since credit was given. writer: :none, its pid, :closing
  # once all input was written.
  defmodule State do
    @moduledoc false
    defstruct [
      :spec,
      :worker,
      :consumer,
      :exit,
      :failure,
      span: :off,
      readers: [],
      offers: [],
      taken: 0,
      writer: :none
    ]
  end

  @impl true
  def init({consumer, callers, spec}) do
    Process.flag(:trap_exit, true)
    Process.monitor(consumer)
    Process.put(:"$callers", callers)

    begun = :erluv_telemetry.begun()

    case Options.start(spec.options, &spawn_link(spec, &1)) do
      {:ok, worker} ->
        streams =
          if spec.tagged,
            do: [stdout: :consumer, stderr: :consumer],
            else:
              [{spec.captured, :consumer}] ++ if(spec.console, do: [stderr: :console], else: [])

        {:ok,
         %State{
           # In the options are secrets, and of what crashes the state is logged.
           spec: %{spec | options: nil, input: nil},
           worker: worker,
           span: span(begun, spec, worker),
           readers: for({stream, to} <- streams, do: reader(worker, stream, to, spec)),
           writer: writer(worker, callers, spec.input)
         }}

      {:error, reason} ->
        :erluv_telemetry.failed(span(begun, spec, :undefined), :error, reason)
        {:stop, {:shutdown, {:not_started, reason}}}
    end
  end

  defp span(begun, spec, worker) do
    :erluv_telemetry.start(:run, begun, fn ->
      :erluv_telemetry.program(spec.node, spec.command, worker)
    end)
  end

  defp spawn_link(%{node: start} = spec, options) when is_function(start),
    do: start.(spec.command, options)

  defp spawn_link(spec, options), do: :erluv.spawn_link(spec.node, spec.command, options)

  defp reader(_, stream, _, %{push: true}), do: stream

  defp reader(worker, stream, to, spec) do
    run = self()

    spawn_link(fn ->
      ask = fn -> :erluv_call.ask(worker, {:read, stream, spec.size}) end
      last = read(ask, ask.(), taker(to, run, stream, spec))
      # The consumer then has a line that has not ended. This process does not wait for that.
      if last == :eof and spec.lines and to == :consumer, do: send(run, {:eof, stream})
    end)
  end

  defp taker(:console, _, _, _), do: &IO.binwrite(:stderr, &1)

  defp taker(:consumer, run, stream, _),
    do: &GenServer.call(run, {:offer, stream, &1}, :infinity)

  # The next chunk is asked for before this one is taken, so that it comes meanwhile. Errors are
  # not told here: the worker's exit reason has them.
  defp read(ask, asked, taker) do
    with {:ok, data} <- :erluv_call.answer(asked) do
      next = ask.()
      taker.(data)
      read(ask, next, taker)
    end
  end

  defp writer(_, _, nil), do: :none

  defp writer(worker, callers, input) do
    run = self()

    spawn_link(fn ->
      Process.put(:"$callers", callers)

      try do
        Sink.write_all(worker, input)
        # Before the program can know of the end, and end itself.
        send(run, {:closing, self()})
        :erluv.close(worker)
      catch
        :throw, {Sink, _reason} -> exit({:shutdown, :epipe})
        kind, reason -> exit({:shutdown, {:raise, kind, reason, __STACKTRACE__}})
      end
    end)
  end

  @impl true
  def handle_call(:next, from, state), do: step(%{state | consumer: from})

  def handle_call({:offer, stream, data}, from, state),
    do: step(%{state | offers: state.offers ++ [{from, stream, data}]})

  def handle_call(:stop, _from, state) do
    end_program(state)
    {:stop, :shutdown, :ok, state}
  end

  @impl true
  def handle_info({:EXIT, worker, reason}, %{worker: worker} = state) do
    readers = if state.spec.push, do: [], else: state.readers
    step(%{over(state, reason) | readers: readers})
  end

  def handle_info({worker, {stream, :eof}}, %{worker: worker, spec: %{push: true}} = state) do
    readers = List.delete(state.readers, stream)
    timer(readers, state)
    step(%{state | readers: readers})
  end

  def handle_info({worker, {stream, data}}, %{worker: worker, spec: %{push: true} = spec} = state)
      when stream in [:stdout, :stderr] and is_binary(data) do
    if stream == :stderr and spec.console do
      IO.binwrite(:stderr, data)
      {:noreply, taken(state)}
    else
      step(%{state | offers: state.offers ++ [{nil, stream, data}]})
    end
  end

  def handle_info({:eof, stream}, state),
    do: step(%{state | offers: state.offers ++ [{nil, stream, :eof}]})

  def handle_info({:EXIT, writer, reason}, %{writer: writer} = state) do
    case reason do
      {:shutdown, {:raise, _, _, _} = failure} -> step(%{state | failure: failure})
      _ -> {:noreply, state}
    end
  end

  def handle_info({:EXIT, pid, reason}, state) do
    readers = List.delete(state.readers, pid)
    timer(readers, state)
    failure = if reason == :normal, do: state.failure, else: {:raise, :exit, reason, []}
    step(%{state | readers: readers, failure: failure})
  end

  def handle_info({:closing, writer}, %{writer: writer} = state),
    do: {:noreply, %{state | writer: :closing}}

  def handle_info(:exit_timeout, %{exit: nil} = state) do
    # What is left to write is not read: it may end before it was stopped.
    case :erluv.stop(state.worker) do
      {:ok, exit} -> step(over(state, exit))
      {:error, _} -> {:noreply, state}
    end
  end

  def handle_info({:DOWN, _, :process, _, _}, state) do
    end_program(state)
    {:stop, :shutdown, state}
  end

  # What the worker tells its owner, whom its exit reason is enough.
  def handle_info(_message, state), do: {:noreply, state}

  defp timer([], %{exit: nil, spec: %{exit_timeout: time}}) when is_integer(time),
    do: Process.send_after(self(), :exit_timeout, time)

  defp timer(_, _), do: :ok

  defp step(%{consumer: nil} = state), do: {:noreply, state}

  defp step(%{failure: failure} = state) when failure != nil, do: answer(failure, state)

  defp step(%{offers: [{from, stream, data} | offers]} = state) do
    state = %{state | offers: offers}
    from && GenServer.reply(from, :ok)
    answer({stream, data}, if(from || data == :eof, do: state, else: taken(state)))
  end

  defp step(%{exit: exit, readers: []} = state) when exit != nil,
    do: answer({:exit, unread(exit, state)}, state)

  defp step(state), do: {:noreply, state}

  # When half of the credit is used up, it is given again. noproc: the program has ended.
  defp taken(%{taken: n, exit: nil} = state) when n + 1 >= div(@credit, 2) do
    _ = :erluv.setopts(state.worker, active: n + 1)
    %{state | taken: 0}
  end

  defp taken(state), do: %{state | taken: state.taken + 1}

  defp answer(reply, state) do
    GenServer.reply(state.consumer, reply)
    {:noreply, %{state | consumer: nil}}
  end

  defp unread({:status, 0}, %{writer: writer, spec: %{ignore_epipe: false}}) when is_pid(writer),
    do: :epipe

  defp unread(exit, _), do: exit

  defp end_program(%{exit: nil} = state) do
    case :erluv.stop(state.worker) do
      {:ok, exit} -> :erluv_telemetry.over(state.span, exit)
      # noproc: it has ended, and the mailbox says how.
      {:error, reason} -> :erluv_telemetry.over(state.span, last_words(state.worker, reason))
    end
  end

  defp end_program(_), do: :ok

  defp last_words(worker, reason) do
    receive do
      {:EXIT, ^worker, exit} -> exit
    after
      0 -> reason
    end
  end

  # The first of two ends is how it ended; the other, normal, that it was stopped.
  defp over(%{exit: nil} = state, reason) do
    :erluv_telemetry.over(state.span, reason)
    %{state | exit: ended(reason)}
  end

  defp over(state, _), do: state

  defp ended(:normal), do: {:status, 0}
  defp ended({:exit_status, status}), do: {:status, status}
  defp ended({:signal, signal}), do: {:signal, signal}
  defp ended({:signal, signal, why}) when why in [:core, :oom], do: {:signal, signal}
  defp ended(:timeout), do: :timeout
  defp ended(reason), do: {:error, reason}
end
