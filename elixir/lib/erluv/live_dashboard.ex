defmodule Erluv.LiveDashboard.Page do
  @moduledoc """
  Makes a module a page of Phoenix LiveDashboard (0.8.3 or later), with the programs of one erluv or
  more: what they use, their restarts, and the same figures as `Erluv.top/2`.

      defmodule MyAppWeb.ProgramsPage do
        use Erluv.LiveDashboard.Page
      end

      live_dashboard "/dashboard", additional_pages: [programs: MyAppWeb.ProgramsPage]

  Where `Erluv.LiveDashboard` is there, which depends on how the package was compiled, it is such a
  page. The option `:servers` is a list of erluv nodes or `erluv_node` processes; by default it
  is that of `config :erluv_ex, node: ...`, or `:erluv`:

      additional_pages: [programs: {MyAppWeb.ProgramsPage, servers: [:erluv, :second]}]

  The page shows the erluvs of the node that is selected in the dashboard. It starts none, and
  nothing can be stopped there.
  """

  # What is shown of each column: formatted, as the columns have no functions of their own.
  @orders %{
    "program" => :name,
    "state" => :state,
    "since" => :since,
    "restarts" => :restarts,
    "cpu" => :cpu,
    "memory" => :memory,
    "output" => :output
  }

  # How long the node that is selected may take: milliseconds.
  @timeout 15_000

  defmacro __using__(_) do
    quote do
      use Phoenix.LiveDashboard.PageBuilder

      @impl true
      def init(opts),
        do: {:ok, %{servers: unquote(__MODULE__).servers(opts)}, application: :erluv}

      @impl true
      def menu_link(_session, capabilities), do: unquote(__MODULE__).menu_link(capabilities)

      @impl true
      def mount(_params, session, socket) do
        {:ok, Phoenix.Component.assign(socket, :servers, session.servers)}
      end

      @impl true
      def render(var!(assigns)) do
        ~H"""
        <.live_table
          id="erluv-programs"
          dom_id="erluv-programs"
          page={@page}
          title="Programs"
          rows_name="programs"
          hint="what erluv top shows"
          row_fetcher={Erluv.LiveDashboard.Page.fetcher(@servers)}
        >
          <:col field={:program} sortable={:asc} />
          <:col field={:erluv} header="erluv" />
          <:col field={:state} sortable={:asc} />
          <:col field={:user} />
          <:col field={:os_pid} header="PID" text_align="right" />
          <:col field={:since} text_align="right" sortable={:asc} />
          <:col field={:restarts} text_align="right" sortable={:desc} />
          <:col field={:cpu_percent} header="CPU %" text_align="right" />
          <:col field={:cpu} header="CPU" text_align="right" sortable={:desc} />
          <:col field={:memory} text_align="right" sortable={:desc} />
          <:col field={:output} header="Output/s" text_align="right" sortable={:desc} />
          <:col field={:command} />
        </.live_table>
        """
      end
    end
  end

  @doc false
  def servers(opts) do
    case Keyword.get(opts, :servers) do
      nil -> [Application.get_env(:erluv_ex, :node, :erluv)]
      servers when is_list(servers) and servers != [] -> servers
    end
  end

  @doc false
  def menu_link(capabilities) do
    if :erluv in Map.get(capabilities, :applications, [:erluv]),
      do: {:ok, "Programs"},
      else: {:disabled, "Programs"}
  end

  @doc false
  # What fetches the rows, and what it knows from the time before: rates are over that time.
  def fetcher(servers), do: {&fetch(&1, &2, &3, servers), %{}}

  @doc false
  def fetch(params, node, known, servers) do
    looked = look(node, servers, known)

    {rows(looked, params), total(looked),
     for({server, {:ok, o}} <- looked, into: %{}, do: {server, o})}
  end

  defp look(node, servers, known) do
    :erpc.call(node, __MODULE__, :look_at, [servers, known], @timeout)
  catch
    # The node is gone, or has another version, or none, of this package.
    _, _ -> []
  end

  @doc false
  def look_at(servers, known) do
    for server <- servers do
      {server,
       :erluv_overview.look(server, [], Map.get_lazy(known, server, &:erluv_overview.new/0))}
    end
  end

  defp total(looked) do
    Enum.sum(for {_, {:ok, overview}} <- looked, do: length(:erluv_overview.programs(overview)))
  end

  defp rows(looked, %{search: search, sort_by: sort_by, sort_dir: sort_dir, limit: limit}) do
    of =
      for {_, {:ok, o}} <- looked, p <- :erluv_overview.programs(o), into: %{}, do: {p.worker, o}

    now = System.system_time(:millisecond)
    order = Map.get(@orders, to_string(sort_by), :cpu)

    sorted =
      :erluv_overview.sorted(
        order,
        for({_, {:ok, o}} <- looked, p <- :erluv_overview.programs(o), do: p)
      )

    # The order has the most first where the dashboard calls that descending.
    backwards? = sort_dir == :asc and order in [:cpu, :memory, :output, :restarts]
    backwards? = backwards? or (sort_dir == :desc and order in [:name, :state, :since])

    sorted
    |> then(&if(backwards?, do: Enum.reverse(&1), else: &1))
    |> Stream.map(&row(&1, of, now))
    |> Stream.filter(&found?(&1, search))
    |> Enum.take(if(is_integer(limit), do: limit, else: 5000))
  end

  defp found?(_, search) when search in [nil, ""], do: true

  defp found?(row, search) do
    search = String.downcase(search)

    Enum.any?(
      [row.program, row.command, row.state, row.user],
      &String.contains?(String.downcase(&1), search)
    )
  end

  defp row(program, of, now) do
    %{
      program: text(:erluv_overview.called(program)),
      erluv: text(Atom.to_charlist(:erluv_overview.sums(of[program.worker]).node)),
      state: "#{program.state}#{if program[:held], do: " paused"}",
      user: text(:erluv_overview.words([program.user])),
      os_pid: number(program[:os_pid], &Integer.to_string/1),
      since: number(program[:started], &text(:erluv_overview.age(now - &1))),
      restarts: number(program[:restarts], &Integer.to_string/1),
      cpu_percent: number(program[:share], &:erlang.float_to_binary(&1 * 100.0, decimals: 1)),
      cpu: number(program[:cpu], &text(:erluv_overview.age(&1))),
      memory: number(program[:rss], &text(:erluv_overview.size(&1))),
      output: number(program[:rate], &text(:erluv_overview.size(&1))),
      command: text(:erluv_overview.words(program.cmd))
    }
  end

  defp number(n, fun) when is_number(n), do: fun.(n)
  defp number(_, _), do: "-"

  defp text(chars), do: List.to_string(chars)
end

builder = Phoenix.LiveDashboard.PageBuilder

if Code.ensure_loaded?(builder) and function_exported?(builder, :live_table, 1) do
  defmodule Erluv.LiveDashboard do
    @moduledoc """
    A page of Phoenix LiveDashboard with the programs of an erluv: `Erluv.LiveDashboard.Page` has its
    options.

        live_dashboard "/dashboard", additional_pages: [programs: Erluv.LiveDashboard]

    It is there when the package was compiled with `:phoenix_live_dashboard`, as Mix does it with the
    packages of Hex.
    """
    use Erluv.LiveDashboard.Page
  end
end
