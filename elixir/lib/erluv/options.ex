defmodule Erluv.Options do
  @moduledoc false
  # What users say, as options of erluv-protocol(7). Their values erluv checks itself.

  alias Erluv.{Cgroup, PortWorker, Run, Sandbox}

  @max_chunk 262_144

  # What is of no use here, and where it can be had.
  @elsewhere Map.new(
               [:owner, :link, :detached, :flow, :packet, :proxy, :ready_reply, :stdin, :stdout] ++
                 [:fds, :pty, :restart, :max_restarts, :backoff],
               &{&1, "is for :erluv.spawn/3"}
             )
             |> Map.merge(%{
               register: "is :name of an Erluv.Daemon",
               output: "is for :erluv_worker: see :logger_fun of an Erluv.Daemon",
               reason: "is for :erluv_worker: see :exit_status_to_reason of an Erluv.Daemon"
             })

  # Of a Daemon, which has more of them.
  @daemon_only [:name, :ready, :ready_timeout, :watchdog, :keep, :log_ring]

  @doc """
  The erluv node that is meant, and the other options. Where ports stand in for one it is a
  function that starts a program.
  """
  def pop_node(opts) do
    case Keyword.pop(opts, :node, :"$default") do
      {:"$default", opts} -> {default_node(), opts}
      {node, opts} -> {node!("option :node", node), opts}
    end
  end

  @doc "The erluv node of those that name none, by the configuration."
  def default_node do
    case Application.get_env(:erluv_ex, :node) do
      nil -> if(PortWorker.stands_in?(), do: &PortWorker.spawn_link/2, else: :erluv)
      node -> node!("config :erluv_ex, node:", node)
    end
  end

  defp node!(_, node) when is_pid(node) or (is_atom(node) and node not in [nil, true, false]),
    do: node

  defp node!(what, node) do
    raise ArgumentError,
          what <>
            " is the name of an erluv node, or an erluv_node process: its pid or registered " <>
            "name, got: #{inspect(node)}"
  end

  # Of two of these one would be in force less than it says.
  @once [:sandbox, :limits, :cgroup, :rlimits, :allow]

  @doc """
  The options, if they are a list of them. What they are is not said: see `:env`. Of several
  with one key the first counts, as everywhere in Elixir.
  """
  def keyword!(opts) do
    Keyword.keyword?(opts) || raise ArgumentError, "options are a keyword list"

    for key <- @once,
        match?([_, _ | _], Keyword.get_values(opts, key)),
        do: refuse!(key, "is given more than once")

    Enum.uniq_by(opts, fn {key, _} -> key end)
  end

  @doc "Takes an option out, checked."
  def pop(opts, key, default, right?, right) do
    case Keyword.pop(opts, key, :"$default") do
      {:"$default", opts} -> {default, opts}
      {value, opts} -> {check!(key, value, right?, right), opts}
    end
  end

  @doc "A run for cmd/3 or stream!/2."
  def run(kind, command, opts) do
    command = command!(command)
    {node, opts} = opts |> keyword!() |> pop_node()
    {input, opts} = Keyword.pop(opts, :input)
    {lines, opts} = pop(opts, :lines, nil, &positive?/1, "a number of bytes")
    {size, opts} = pop(opts, :max_chunk_size, @max_chunk, &chunk?/1, "1 to #{@max_chunk} bytes")
    {epipe, opts} = pop(opts, :ignore_epipe, kind == :cmd, &is_boolean/1, "true or false")
    {time, opts} = pop(opts, :exit_timeout, :infinity, &timeout?/1, "milliseconds, or :infinity")
    {only, opts} = if kind == :cmd, do: pop_stderr_only(opts), else: {false, opts}
    {stderr, opts} = pop_stderr(opts)

    if kind == :cmd and stderr == :consume,
      do: raise(ArgumentError, "stderr: :consume is for Erluv.stream!/2")

    if only and stderr != :console,
      do: refuse!(:capture_stderr_only, "and another place for stderr exclude each other")

    for {key, _} <- opts, key in @daemon_only, do: refuse!(key, "is for Erluv.Daemon")

    PortWorker.only!(node, :input, input, &is_nil/1)
    PortWorker.only!(node, :exit_timeout, time, &(&1 == :infinity))
    PortWorker.only!(node, :capture_stderr_only, only, &PortWorker.captures?/1)
    PortWorker.only!(node, :stderr, stderr, &PortWorker.stderr?/1)
    PortWorker.check!(node, opts)

    # A port is read from, and smaller chunks are asked for one by one.
    push = kind == :cmd and not (is_function(node) or size != @max_chunk)

    %Run{
      node: node,
      command: command,
      input: input!(input),
      size: size,
      lines: lines != nil,
      push: push,
      console: stderr == :console and not only,
      tagged: stderr == :consume,
      captured: if(only, do: :stderr, else: :stdout),
      ignore_epipe: epipe,
      exit_timeout: time,
      options:
        opts
        |> spawn_options()
        |> Map.merge(%{
          flow: Run.flow(push),
          packet: :raw,
          stdin: if(input == nil, do: :null, else: :pipe),
          stdout: if(only, do: :null, else: :owner),
          stderr: stream(stderr)
        })
    }
  end

  @doc "Program and arguments, checked."
  def command!([program | args] = command) when is_binary(program) and is_list(args) do
    Enum.all?(args, &is_binary/1) || raise ArgumentError, "all arguments must be binaries"

    for word <- command, String.contains?(word, <<0>>) do
      raise ArgumentError, "cannot execute a program with a null byte, got: #{inspect(word)}"
    end

    command
  end

  def command!(command) do
    raise ArgumentError, "a command is a list of program and arguments, got: #{inspect(command)}"
  end

  @doc "Whether stderr is what is captured, and stdout is dropped; and the other options."
  def pop_stderr_only(opts),
    do: pop(opts, :capture_stderr_only, false, &is_boolean/1, "true or false")

  @doc "Where stderr goes, and the other options."
  def pop_stderr(opts) do
    {merged, opts} = pop(opts, :stderr_to_stdout, false, &is_boolean/1, "true or false")
    default = if merged, do: :redirect_to_stdout, else: :console
    {stderr, opts} = Keyword.pop(opts, :stderr, default)

    if merged and stderr != :redirect_to_stdout,
      do:
        raise(
          ArgumentError,
          "stderr_to_stdout: true and stderr: #{inspect(stderr)} exclude each other"
        )

    right = ":console, :redirect_to_stdout, :disable, {:file, path} or, of a stream, :consume"
    {check!(:stderr, stderr, &stderr?/1, right), opts}
  end

  defp stderr?(stderr) when is_atom(stderr),
    do: stderr in [:console, :redirect_to_stdout, :disable, :consume]

  defp stderr?(stderr), do: is_tuple(stderr) and elem(stderr, 0) == :file

  @doc "The same as an option of erluv."
  def stream(:redirect_to_stdout), do: :stdout
  def stream(:disable), do: :null
  def stream(stderr) when stderr in [:console, :consume], do: :owner
  def stream(file), do: file

  @doc "The options that remain, as a map for `start/2`."
  def spawn_options(opts) do
    {clear, opts} = pop(opts, :clear_env, false, &is_boolean/1, "true or false")

    {env, opts} = Keyword.pop(opts, :env, [])
    # Nothing says what it was, as secrets may be in it.
    env?(env) || refuse!(:env, "is an enumerable of pairs of strings, or nil as value")

    base = if clear, do: %{}, else: Map.new(:erluv_environment.all())
    initial = %{env: env(base, env), cd: {:own, File.cwd!()}}
    opts |> Enum.reduce(initial, &option/2) |> sandbox()
  end

  # Its words stand for something in two options of erluv, which refuses what is no list.
  defp sandbox(%{sandbox: words} = options) do
    options = %{options | sandbox: Sandbox.expand(words)}

    case Sandbox.allow(words) do
      [] -> options
      allow -> Map.update(options, :allow, allow, &if(is_list(&1), do: allow ++ &1, else: &1))
    end
  end

  defp sandbox(options), do: options

  @doc "Those of them that say how a program is stopped."
  def stop(opts), do: Enum.reduce(opts, %{}, &option/2)

  @doc """
  Starts a program by a function of its options.

  It starts in the directory of this node, unless it is told another one. Where its user must
  not enter that, as nobody must not that of root, it starts in `/`.
  """
  def start(%{cd: {:own, dir}} = options, fun) do
    case fun.(%{options | cd: dir}) do
      {:error, {:cd, :eacces}} ->
        warn_once(dir)
        fun.(%{options | cd: "/"})

      result ->
        result
    end
  end

  def start(options, fun), do: fun.(options)

  defp warn_once(dir) do
    unless :persistent_term.get({__MODULE__, dir}, false) do
      :persistent_term.put({__MODULE__, dir}, true)

      # Not by Logger, which has its own domain in front.
      :logger.warning(
        "programs start in /, as their user must not enter #{dir}: see :cd of Erluv, and the " <>
          "setting user of erluv.conf(5)",
        %{domain: [:erluv]}
      )
    end
  end

  defp option({:cd, dir}, acc) do
    check!(:cd, dir, &(is_binary(&1) or (is_list(&1) and &1 != [])), "a path")
    Map.put(acc, :cd, Path.expand(dir))
  end

  defp option({:arg0, _}, _),
    do: refuse!(:arg0, "cannot be had: a program that erluv starts sees its own name")

  defp option({:use_stdio, true}, acc), do: acc

  defp option({:use_stdio, _}, _),
    do:
      refuse!(
        :use_stdio,
        "is true: a program of erluv has not this node's stdin and stdout; " <>
          "into: IO.stream() prints what it writes"
      )

  defp option({:parallelism, value}, acc) do
    check!(:parallelism, value, &is_boolean/1, "true or false")
    acc
  end

  defp option({:stdio_window, value}, acc) do
    check!(:stdio_window, value, &positive?/1, "a number of bytes")
    acc
  end

  defp option({:delay_to_sigkill, time}, acc), do: Map.put(acc, :kill_timeout, time)
  defp option({:uid, user}, acc), do: Map.put(acc, :user, user)
  defp option({:gid, group}, acc), do: Map.put(acc, :group, group)

  defp option({:cgroup, settings}, acc), do: limits(Cgroup.limits!(settings), acc)
  defp option({:limits, limits}, acc), do: limits(limits, acc)

  defp option({key, _}, _)
       when key in [:cgroup_controllers, :cgroup_base, :cgroup_path, :cgroup_sets],
       do: refuse!(key, Cgroup.instead())

  defp option({key, _}, _) when is_map_key(@elsewhere, key), do: refuse!(key, @elsewhere[key])
  defp option({key, value}, acc) when is_atom(key), do: Map.put(acc, key, value)

  # Of :cgroup and :limits together. What is neither a map nor pairs erluv refuses.
  defp limits(limits, acc) do
    Map.update(acc, :limits, limits, fn earlier ->
      case {pairs(earlier), pairs(limits)} do
        {{:ok, earlier}, {:ok, new}} -> Map.merge(earlier, new)
        {:error, _} -> earlier
        {_, :error} -> limits
      end
    end)
  end

  defp pairs(%{} = map) when not is_struct(map), do: {:ok, map}
  defp pairs(list), do: if(Keyword.keyword?(list), do: {:ok, Map.new(list)}, else: :error)

  defp env?(env), do: Enumerable.impl_for(env) != nil and Enum.all?(env, &variable?/1)

  defp variable?({name, value}), do: text?(name) and text?(value)
  defp variable?(_), do: false

  defp text?(value), do: String.Chars.impl_for(value) != nil

  defp env(base, changes) do
    Enum.reduce(changes, base, fn
      {name, nil}, env -> Map.delete(env, to_string(name))
      {name, value}, env -> Map.put(env, to_string(name), to_string(value))
    end)
  end

  defp input!(nil), do: nil
  defp input!(input) when is_binary(input), do: [input]
  defp input!(input) when is_function(input, 1), do: input

  defp input!(input) do
    Enumerable.impl_for(input) ||
      raise ArgumentError,
            "option :input is iodata, an enumerable of it, or a function of a collectable, " <>
              "got: #{inspect(input)}"

    input
  end

  defp positive?(value), do: is_integer(value) and value > 0
  defp chunk?(value), do: positive?(value) and value <= @max_chunk
  defp timeout?(value), do: value == :infinity or (is_integer(value) and value >= 0)

  @doc "The value of an option, if it is right."
  def check!(key, value, right?, right) do
    right?.(value) ||
      raise ArgumentError, "option #{inspect(key)} is #{right}, got: #{inspect(value)}"

    value
  end

  @doc "Raises: the option cannot be had."
  @spec refuse!(atom(), String.t()) :: no_return()
  def refuse!(key, why), do: raise(ArgumentError, "option #{inspect(key)} #{why}")

  # Reasons that are no error of the system.
  @ours [:nodedown, :noconnection, :noproc, :stopping, :child_down, :max_workers] ++
          [:not_alive, :dynamic_name]

  @doc "Raises why a program was not started."
  @spec raise_start(term(), Erluv.command()) :: no_return()
  def raise_start({:bad_option, key, why}, _),
    do: raise(ArgumentError, "option #{inspect(key)}: #{why}")

  def raise_start(reason, command) when is_atom(reason) do
    if reason in @ours,
      do: raise(Erluv.Error, reason: reason, command: command),
      else: :erlang.error(reason)
  end

  def raise_start(reason, command), do: raise(Erluv.Error, reason: reason, command: command)
end
