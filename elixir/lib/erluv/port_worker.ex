defmodule Erluv.PortWorker do
  @moduledoc false
  # A program by a port, where there is no erluv for the operating system and the
  # configuration wants that. It is a process that takes the calls of a worker and sends
  # its messages, so that Erluv.Run and :erluv_worker do not know the difference.
  #
  # No GenServer, as it ends with the exit reason of a worker, which is no crash.

  import Bitwise

  alias Erluv.{Options, Run}

  # What is honoured, of the options that Erluv and Erluv.Daemon take. A port can do no more,
  # or erluv does less, as with :arg0, and is imitated.
  @honoured [
    # of all
    :cd,
    :env,
    :clear_env,
    :timeout,
    :idle_timeout,
    :kill_timeout,
    :delay_to_sigkill,
    # of no effect with erluv either, or refused by Erluv.Options
    :parallelism,
    :use_stdio,
    :stdio_window,
    :arg0,
    # of a daemon, by :erluv_worker
    :keep
  ]

  # After SIGKILL the port tells of the end at once, unless what has left the program's process
  # group holds its output: milliseconds.
  @last_wait 1000

  # A program of which so many bytes wait is paused by SIGSTOP, until it is the half.
  @pause_at 16_777_216

  @doc "Whether programs run by ports: there is no erluv here, and it was asked for."
  def stands_in? do
    case Application.get_env(:erluv_ex, :fallback) do
      nil ->
        false

      :port ->
        not :erluv_executable.runs_here() and Process.whereis(:erluv) == nil and
          Application.get_env(:erluv, :executable) == nil

      other ->
        raise ArgumentError, "config :erluv_ex, fallback: is :port, got: #{inspect(other)}"
    end
  end

  @doc "Raises for what a port cannot honour, of the options that are left for the program."
  def check!(server, opts) when is_function(server) do
    for {key, _} <- opts, key not in @honoured, do: refuse!(key, "cannot")

    for key <- [:timeout, :idle_timeout],
        do: time!(opts, key, &(&1 == :infinity or (is_integer(&1) and &1 > 0)))

    for key <- [:kill_timeout, :delay_to_sigkill],
        do: time!(opts, key, &(is_integer(&1) and &1 >= 0))

    opts
  end

  def check!(_, opts), do: opts

  @doc "The same of an option that has been taken out: only this value is honoured."
  def only!(server, key, value, right?) do
    if is_function(server) and not right?.(value), do: refuse!(key, "as it is given cannot")
    value
  end

  @doc "Whether stderr can go there."
  def stderr?(stderr),
    do: stderr in [:console, :redirect_to_stdout] or (stderr == :disable and unix?())

  @doc "Whether this can be had of `:capture_stderr_only`."
  def captures?(only), do: not only or unix?()

  # A shell opens what is no pipe.
  defp unix?, do: match?({:unix, _}, :erluv_executable.os_type())

  defp time!(opts, key, right?) do
    with {:ok, time} <- Keyword.fetch(opts, key),
         do: Options.check!(key, time, right?, "a number of milliseconds")
  end

  defp refuse!(key, cannot) do
    Options.refuse!(
      key,
      cannot <> " be honoured by a port, by which programs run here (fallback: :port)"
    )
  end

  @doc "As `:erluv.spawn_link/3`, with the options of a worker."
  def spawn_link([program | args], options) do
    warn_once()

    with :ok <- directory(options.cd),
         :ok <- environment(options.env),
         {:ok, program, file} <- find(program, options),
         :ok <- loadable(file, options.cd) do
      owner = self()
      ref = make_ref()
      pid = spawn_link(fn -> init(owner, ref, [program | args], options) end)

      receive do
        {^ref, answer} -> answer
        {:EXIT, ^pid, reason} -> {:error, reason}
      end
    end
  end

  defp warn_once do
    unless :persistent_term.get(__MODULE__, false) do
      :persistent_term.put(__MODULE__, true)

      # Not by Logger, which has its own domain in front.
      :logger.warning(
        "there is no erluv for this operating system, and programs run by ports (fallback: :port " <>
          "of :erluv_ex): they go on when this VM is killed, what they leave behind is not " <>
          "ended",
        %{domain: [:erluv]}
      )
    end
  end

  defp directory(dir) do
    case File.stat(Path.join(dir, ".")) do
      {:ok, _} -> :ok
      {:error, errno} -> {:error, {:cd, errno}}
    end
  end

  # In the words of erluv.
  defp environment(env) do
    wrong? = fn {name, value} ->
      name == "" or String.contains?(name, ["=", <<0>>]) or String.contains?(value, <<0>>)
    end

    cond do
      Enum.any?(env, wrong?) ->
        words =
          "a name must not be empty or contain '=', and a name or value must not contain a NUL byte"

        {:error, {:bad_option, :env, words}}

      not unix?() and not Enum.all?(env, fn {n, v} -> String.valid?(n) and String.valid?(v) end) ->
        {:error, {:bad_option, :env, "text is UTF-8 on this operating system"}}

      true ->
        :ok
    end
  end

  # As erluv looks it up: in the PATH that the program has, else in this node's. A shell that
  # finds it as well has it by its name, which it sees then. Beside it the file is returned.
  defp find(program, %{env: env, cd: dir}) do
    path = env["PATH"]

    cond do
      String.contains?(program, "/") ->
        file = Path.expand(program, dir)
        with :ok <- executable(file), do: {:ok, program, file}

      path == nil ->
        with {:ok, file} <- look_up(program, :erluv_environment.value(~c"PATH")),
             do: {:ok, file, file}

      true ->
        with {:ok, file} <- look_up(program, path), do: {:ok, by_name(program, file), file}
    end
  end

  defp by_name("-" <> _, file), do: file
  defp by_name(program, file), do: if(unix?(), do: program, else: file)

  defp executable(file) do
    cond do
      executable?(file) -> :ok
      File.exists?(file) -> {:error, :eacces}
      true -> {:error, :enoent}
    end
  end

  # Names are bytes, which os:find_executable/2 takes for text.
  defp executable?(file) do
    if unix?(),
      do:
        match?({:ok, %{type: :regular, mode: mode}} when (mode &&& 0o111) != 0, File.stat(file)),
      else: :os.find_executable(String.to_charlist(file)) != false
  end

  defp look_up(program, path) do
    if unix?() do
      files = for dir <- String.split(path, ":"), do: Path.join(dir, program)

      case Enum.find(files, &executable?/1) do
        nil -> {:error, if(Enum.any?(files, &File.exists?/1), do: :eacces, else: :enoent)}
        file -> {:ok, file}
      end
    else
      case :os.find_executable(String.to_charlist(program), String.to_charlist(path)) do
        false -> {:error, :enoent}
        file -> {:ok, List.to_string(file)}
      end
    end
  end

  # The first bytes of programs: ELF, and those of macOS.
  @magic [<<0x7F, "ELF">>, <<0xCA, 0xFE, 0xBA, 0xBE>>] ++
           for(
             last <- [0xCE, 0xCF],
             magic <- [<<0xFE, 0xED, 0xFA, last>>, <<last, 0xFA, 0xED, 0xFE>>],
             do: magic
           )

  # A shell takes for a script what the system does not load, and has no error for what a
  # script needs.
  defp loadable(file, dir) do
    with true <- unix?(),
         {:ok, start} <- File.open(file, [:read, :raw], &IO.binread(&1, 256)) do
      loads(start, dir)
    else
      # It need not be readable.
      _ -> :ok
    end
  end

  defp loads("#!" <> line, dir) do
    case line |> String.split("\n") |> hd() |> String.split([" ", "\t"], trim: true) do
      [interpreter | _] -> executable(Path.expand(interpreter, dir))
      [] -> {:error, :enoexec}
    end
  end

  defp loads(<<magic::binary-size(4), _::binary>>, _) when magic in @magic, do: :ok
  defp loads(_, _), do: {:error, :enoexec}

  # What the port is opened with: by a shell, which can open /dev/null, and becomes the program.
  @doc false
  def command({:unix, _}, [program | args], options) do
    # It would add them to an environment without.
    unset = for name <- ["PWD", "OLDPWD", "SHLVL"], not is_map_key(options.env, name), do: name
    script = Enum.map_join(unset, &"unset #{&1}; ") <> "exec \"$@\"" <> redirections(options)
    {"/bin/sh", ["-c", script, "sh"] ++ by_env(options.env, program) ++ [program | args], []}
  end

  # A program in the directory given, and no name of it, is found by Windows itself.
  def command({:win32, _}, [program | args], options) do
    {program, args, if(options.stderr == :stdout, do: [:stderr_to_stdout], else: [])}
  end

  defp redirections(%{stdin: stdin, stdout: stdout, stderr: stderr}) do
    [
      if(stdin == :null, do: " </dev/null"),
      case {stdout, stderr} do
        {:null, :owner} -> " 2>&1 >/dev/null"
        {:null, _} -> " >/dev/null 2>/dev/null"
        {:owner, :stdout} -> " 2>&1"
        {:owner, :null} -> " 2>/dev/null"
        # It is this node's.
        {:owner, :owner} -> ""
      end
    ]
    |> Enum.join()
  end

  # A port takes text, of which none is empty, and a shell may drop what is no name for it:
  # env(1) sets these.
  defp by_env(env, program) do
    here = inherited()
    set = for {name, value} <- env, not passed_on?(name, value, here), do: name <> "=" <> value
    unset = for {name, _} <- here, not ascii?(name), not is_map_key(env, name), do: ["-u", name]
    # It would take this for a variable.
    by_sh =
      if String.contains?(program, "="), do: ["/bin/sh", "-c", "exec \"$0\" \"$@\""], else: []

    if set == [] and unset == [],
      do: [],
      else: ["/usr/bin/env"] ++ List.flatten(unset) ++ set ++ by_sh
  end

  defp passed_on?(name, value, here) do
    name =~ ~r/\A[A-Za-z_][A-Za-z0-9_]*\z/ and
      (here[name] == value or (value != "" and ascii?(value)))
  end

  defp ascii?(text), do: for(<<byte <- text>>, byte > 127, do: byte) == []

  defp inherited, do: Map.new(:erluv_environment.all())

  # What the port sets and removes.
  defp env(env) do
    here = inherited()
    passed_on? = fn name, value -> not unix?() or passed_on?(name, value, here) end

    for({name, _} <- here, not is_map_key(env, name), ascii?(name), do: {text(name), false}) ++
      for {name, value} <- env, here[name] != value, passed_on?.(name, value) do
        {text(name), text(value)}
      end
  end

  defp text(bytes), do: String.to_charlist(bytes)

  # captured: which stream the port's output is. credit: how many messages of it the owner is
  # sent, or :read. queue: what it was not sent yet, of so many bytes; lines: of what was cut
  # last; rest: a line that has not ended. readers: who wait for output; stoppers: who wait for the end. why: the exit reason of one that is
  # stopped for a reason. exit: how the program has ended.
  defmodule State do
    @moduledoc false
    @enforce_keys [:owner, :port, :os_pid, :captured, :packet, :credit, :idle, :kill_timeout]
    defstruct @enforce_keys ++
                [:why, :exit, :idle_timer] ++
                [stoppers: [], stopping: false, told: false, paused: false] ++
                [queue: :queue.new(), waiting: 0, lines: [], rest: "", bytes: 0, readers: []]
  end

  defp init(owner, ref, program, options) do
    Process.flag(:trap_exit, true)
    {file, args, more} = command(:erluv_executable.os_type(), program, options)
    more = [args: args, cd: options.cd, env: env(options.env)] ++ more

    try do
      Port.open({:spawn_executable, file}, [:binary, :exit_status, :hide | more])
    rescue
      # Its arguments are in no error: the environment is one.
      ArgumentError -> send(owner, {ref, {:error, :einval}})
      error in ErlangError -> send(owner, {ref, {:error, error.original}})
    else
      port ->
        send(owner, {ref, {:ok, self()}})
        after_time(options[:timeout])
        loop(idle(state(owner, port, options)))
    end
  end

  defp state(owner, port, options) do
    %State{
      owner: owner,
      port: port,
      os_pid: with({:os_pid, os_pid} <- Port.info(port, :os_pid), do: os_pid),
      captured: if(options.stdout == :null, do: :stderr, else: :stdout),
      packet: with(:lines <- options.packet, do: :line),
      credit: with({:active, false} <- options.flow, do: :read) |> credit(),
      idle: options[:idle_timeout],
      kill_timeout: options[:kill_timeout] || 5000
    }
  end

  defp credit({:active, credit}), do: credit
  defp credit(:read), do: :read

  defp after_time(time) when is_integer(time), do: Process.send_after(self(), :timeout, time)
  defp after_time(_), do: nil

  defp idle(%{idle_timer: timer} = state) do
    if timer, do: Process.cancel_timer(timer)
    %{state | idle_timer: after_time(state.idle)}
  end

  defp loop(%{port: port, owner: owner} = state) do
    receive do
      {^port, {:data, data}} ->
        loop(state |> received(data) |> idle() |> deliver())

      {^port, {:exit_status, status}} ->
        loop(ended(status, state))

      # Somebody has closed it, or it is what stop/2 has.
      {:EXIT, port, _} when is_port(port) ->
        loop(state)

      {:EXIT, ^owner, reason} ->
        loop(stop(told(reason, state)))

      {:EXIT, _, :normal} ->
        loop(state)

      {:EXIT, _, reason} ->
        loop(stop(told(reason, state)))

      {:"$gen_call", from, request} ->
        loop(call(request, from, state))

      :timeout when state.exit == nil ->
        loop(stop(%{state | why: state.why || :timeout}))

      :kill when state.exit == nil ->
        signal("KILL", state)
        Process.send_after(self(), :abandon, @last_wait)
        loop(state)

      # Something that has left the group holds the output.
      :abandon when state.exit == nil ->
        Port.close(port)
        loop(ended(128 + 9, state))

      _ ->
        loop(state)
    end
  end

  # A port reads whatever is written. What its owner does not take stops the program, so that it
  # does not fill the node.
  defp received(state, data) do
    size = byte_size(data)
    state = %{state | bytes: state.bytes + size, waiting: state.waiting + size}
    state = %{state | queue: :queue.in(data, state.queue)}

    if state.waiting > @pause_at and not (state.paused or state.stopping) and unix?() do
      signal("STOP", state)
      %{state | paused: true}
    else
      state
    end
  end

  # A message of output. Lines are cut when they are wanted.
  defp next(%{lines: [line | lines]} = state), do: {line, %{state | lines: lines}}

  defp next(state) do
    case {:queue.out(state.queue), state} do
      {{{:value, data}, queue}, state} ->
        state = %{state | queue: queue, waiting: state.waiting - byte_size(data)}
        state |> go_on() |> cut(data)

      {{:empty, _}, %{exit: exit, rest: rest} = state} when exit != nil and rest != "" ->
        {IO.iodata_to_binary(rest), %{state | rest: ""}}

      {{:empty, _}, state} ->
        {:empty, state}
    end
  end

  defp go_on(%{paused: true, waiting: waiting} = state) when waiting < @pause_at / 2 do
    signal("CONT", state)
    %{state | paused: false}
  end

  defp go_on(state), do: state

  # A long line is not looked through again with each piece of it.
  defp cut(%{packet: :line, rest: rest} = state, data) do
    {lines, rest} = Run.cut(data, rest)
    next(%{state | lines: Enum.map(lines, &(&1 <> "\n")), rest: rest})
  end

  defp cut(state, data), do: {data, state}

  defp ended(status, state) do
    exit = if status == 0, do: :normal, else: {:exit_status, status}
    # What is left of its group ends with what is stopped.
    if state.stopping, do: signal("KILL", state)
    for from <- state.stoppers, do: GenServer.reply(from, {:ok, exit})
    state = %{state | exit: exit, stoppers: [], paused: false}
    deliver(state)
  end

  # Told to end, it drops what nobody has asked for.
  defp told(reason, state), do: %{state | told: true, why: state.why || reason}

  defp deliver(%{told: true, exit: exit, credit: credit} = state)
       when exit != nil and credit in [0, :read],
       do: eof(state)

  defp deliver(%{credit: :read, readers: []} = state), do: state
  defp deliver(%{credit: 0} = state), do: state

  defp deliver(state) do
    case next(state) do
      {:empty, %{exit: nil} = state} ->
        state

      {:empty, state} ->
        eof(state)

      {data, %{credit: :read} = state} ->
        read(data, state)

      {data, %{credit: credit} = state} ->
        send(state.owner, {self(), {state.captured, data}})
        if credit == 1, do: send(state.owner, {self(), :passive})
        deliver(%{state | credit: credit - 1})
    end
  end

  defp read(data, %{readers: [{from, max} | readers]} = state) when byte_size(data) > max do
    {first, rest} = :erlang.split_binary(data, max)
    GenServer.reply(from, {:ok, first})
    waiting = state.waiting + byte_size(rest)
    deliver(%{state | readers: readers, queue: :queue.in_r(rest, state.queue), waiting: waiting})
  end

  defp read(data, %{readers: [{from, _} | readers]} = state) do
    GenServer.reply(from, {:ok, data})
    deliver(%{state | readers: readers})
  end

  @spec eof(%State{}) :: no_return()
  defp eof(%{readers: [_ | _] = readers} = state) do
    Enum.each(readers, fn {from, _} -> GenServer.reply(from, :eof) end)
    finish(state)
  end

  defp eof(state) do
    send(state.owner, {self(), {state.captured, :eof}})
    finish(state)
  end

  @spec finish(%State{}) :: no_return()
  defp finish(state), do: exit(state.why || state.exit)

  # A port has no stderr of its own: it is this node's, or the one that is captured.
  defp call({:read, stream, _}, from, %{captured: captured} = state) when stream != captured do
    GenServer.reply(from, :eof)
    state
  end

  defp call({:read, _, max}, from, state),
    do: deliver(%{state | readers: state.readers ++ [{from, max}]})

  defp call({:setopts, opts}, from, state) do
    GenServer.reply(from, :ok)
    deliver(%{state | credit: Map.new(opts).active})
  end

  defp call(:info, from, state) do
    GenServer.reply(from, %{
      :os_pid => state.os_pid || 0,
      state.captured => %{bytes: state.bytes}
    })

    state
  end

  defp call(:stop, from, %{exit: nil} = state),
    do: stop(%{state | stoppers: [from | state.stoppers]})

  defp call(:stop, from, state) do
    GenServer.reply(from, {:ok, state.exit})
    state
  end

  defp call(request, from, state) do
    GenServer.reply(from, {:error, {:bad_request, request}})
    state
  end

  defp stop(%{exit: exit} = state) when exit != nil, do: deliver(state)
  defp stop(%{stopping: true} = state), do: state

  defp stop(state) do
    signal("TERM", state)
    if state.paused, do: signal("CONT", state)
    Process.send_after(self(), :kill, state.kill_timeout)
    %{state | stopping: true, paused: false}
  end

  # To the group that each program of a port has of its own.
  defp signal(signal, %{os_pid: os_pid}) when is_integer(os_pid) do
    case :os.type() do
      {:unix, _} ->
        System.cmd("/bin/sh", ["-c", "kill -s #{signal} -- -#{os_pid}"], stderr_to_stdout: true)

      {:win32, _} ->
        System.cmd("taskkill", ["/PID", "#{os_pid}", "/T", "/F"], stderr_to_stdout: true)
    end
  end

  defp signal(_, _), do: :ok
end
