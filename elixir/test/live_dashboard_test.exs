# What Phoenix LiveDashboard 0.8 has for a page, as far as ours uses it: a stand-in, as it is no
# dependency. Its ~H takes one live_table, and makes a map of it.
defmodule Phoenix.LiveDashboard.PageBuilder do
  @callback init(term()) :: {:ok, map()} | {:ok, map(), keyword()}
  @callback menu_link(map(), map()) :: {:ok, String.t()} | {:disabled, String.t()} | :skip
  @callback mount(map(), map(), map()) :: {:ok, map()}
  @callback render(map()) :: term()

  defmacro __using__(_) do
    quote do
      @behaviour Phoenix.LiveDashboard.PageBuilder
      import Phoenix.LiveDashboard.PageBuilder
    end
  end

  defmacro sigil_H({:<<>>, _, [text]}, _) do
    [_, table, columns] =
      Regex.run(~r{\A\s*<\.live_table(.*?)>\s*((?:<:col [^>]*/>\s*)+)</\.live_table>\s*\z}s, text)

    columns = for [_, column] <- Regex.scan(~r{<:col ([^>]*)/>}, columns), do: attributes(column)
    quote do: live_table(unquote(attributes(table, [{:col, columns}])))
  end

  defp attributes(text, more \\ []) do
    found =
      for [_, key | value] <- Regex.scan(~r/([a-z_]+)=(?:"([^"]*)"|\{([^}]*)\})/, text) do
        {String.to_atom(key), value(value)}
      end

    {:%{}, [], found ++ more}
  end

  defp value([text]), do: text

  defp value(["", code]) do
    code
    |> Code.string_to_quoted!()
    |> Macro.prewalk(fn
      {:@, _, [{name, _, nil}]} -> quote do: var!(assigns).unquote(name)
      other -> other
    end)
  end

  # What the real one requires of each.
  def live_table(%{id: _, page: _, title: _, row_fetcher: {_, _}, col: columns} = table) do
    true = Enum.any?(columns, &Map.has_key?(&1, :sortable))
    table
  end
end

defmodule Phoenix.Component do
  def assign(socket, key, value), do: put_in(socket.assigns[key], value)
end

defmodule Erluv.LiveDashboardTest do
  use Erluv.Case

  defmodule Programs do
    use Erluv.LiveDashboard.Page
  end

  # What the dashboard does: init at compile time, mount, render; and the table's fetcher at each
  # refresh.
  defp table(opts) do
    {:ok, session, application: :erluv} = Programs.init(opts)
    {:ok, socket} = Programs.mount(%{}, session, %{assigns: %{page: %{node: node()}}})
    Programs.render(socket.assigns)
  end

  defp fetch(%{row_fetcher: {fetcher, state}} = table, params \\ %{}, node \\ node()) do
    params = Map.merge(%{search: nil, sort_by: :cpu, sort_dir: :desc, limit: 50}, params)
    {rows, total, state} = fetcher.(params, node, state)
    {rows, total, %{table | row_fetcher: {fetcher, state}}}
  end

  defp names(rows), do: for(row <- rows, do: row.program)

  setup do
    for name <- [:cherry, :apple, :banana],
        do: {:ok, _} = :erluv.spawn(:erluv, ["sleep", "60"], %{name: name})

    :ok
  end

  test "each column has its field in each row" do
    {[_, _, _] = rows, 3, _} = fetch(table([]))
    fields = for column <- table([]).col, do: column.field
    for row <- rows, do: assert(Enum.sort(fields) == Enum.sort(Map.keys(row)))
    for row <- rows, {_, value} <- row, do: assert(is_binary(value))

    assert %{
             state: "running",
             restarts: "0",
             command: "sleep 60",
             cpu_percent: "-",
             output: "-",
             memory: memory
           } = hd(rows)

    assert memory =~ ~r/^[0-9.]+[KM]$/
    {:ok, node} = :erluv_node.node(:erluv)
    assert hd(rows).erluv == Atom.to_string(node)
  end

  test "rates are over the time between two refreshes" do
    {:ok, busy} = :erluv.spawn(:erluv, "while :; do :; done", %{name: :busy})
    {_, 4, table} = fetch(table([]))

    receive do
    after
      400 -> :ok
    end

    {[%{program: "busy", cpu_percent: share} | _], 4, table} = fetch(table)
    assert String.to_float(share) > 0
    {:ok, _} = :erluv.stop(busy)
    {_, 3, _} = fetch(table)
  end

  test "sorting, searching and a limit" do
    order = &(fetch(table([]), %{sort_by: &1, sort_dir: &2}) |> elem(0) |> names())
    assert order.(:program, :asc) == ["apple", "banana", "cherry"]
    assert order.(:program, :desc) == ["cherry", "banana", "apple"]
    assert order.(:since, :asc) == ["cherry", "apple", "banana"]

    for %{sortable: dir, field: field} <- table([]).col,
        do: assert(length(order.(field, dir)) == 3)

    assert {[%{program: "apple"}], 3, _} = fetch(table([]), %{search: "APP"})

    assert {[%{program: "apple"}, _], 3, _} =
             fetch(table([]), %{sort_by: :program, sort_dir: :asc, limit: 2})

    assert {[], 3, _} = fetch(table([]), %{search: "nothing"})
  end

  test "more than one erluv, and one that is not there, which is not started" do
    {:ok, second} = :erluv_node.start_link(name: :second)
    {:ok, _} = :erluv.spawn(second, ["sleep", "60"], %{name: :other})
    {rows, 4, _} = fetch(table(servers: [:erluv, :gone, :second]))
    assert "other" in names(rows)
    assert rows |> Enum.uniq_by(& &1.erluv) |> length() == 2
    :ok = :erluv_node.stop(:second)
    assert {[], 0, _} = fetch(table(servers: [:second]))
    assert Process.whereis(:second) == nil
  end

  test "a node that is not there, or has no erluv" do
    assert {[], 0, _} = fetch(table([]), %{}, :"gone@127.0.0.1")
  end

  test "the link says whether the application runs" do
    assert {:ok, "Programs"} = Programs.menu_link(%{}, %{applications: [:erluv]})
    assert {:disabled, "Programs"} = Programs.menu_link(%{}, %{applications: []})
  end

  test "with the dashboard there is a module that is a page" do
    Code.put_compiler_option(:ignore_module_conflict, true)
    modules = Code.compile_file(Path.join(__DIR__, "../lib/erluv/live_dashboard.ex"))
    assert List.keymember?(modules, Erluv.LiveDashboard, 0)

    assert {:ok, %{servers: [:erluv]}, application: :erluv} =
             apply(Erluv.LiveDashboard, :init, [[]])
  after
    Code.put_compiler_option(:ignore_module_conflict, false)
  end
end
