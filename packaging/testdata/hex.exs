# Prints what `mix hex.build` would take from the package in this directory, or why it would not. It
# copies the files to the directory in its argument, as an archive unpacks them.
[to] = System.argv()
Mix.start()
Code.require_file("mix.exs")
config = Mix.Project.config()
package = config[:package]

requires = fn right, words -> right || raise "#{config[:app]}: #{words}" end
text? = &(is_binary(&1) and &1 != "")

requires.(text?.(config[:description]), "a description")
requires.(String.length(config[:description]) <= 300, "a description of 300 characters")
requires.(match?({:ok, _}, Version.parse(config[:version])), "a version")
requires.(match?([_ | _], package[:licenses]), "licenses")
requires.(map_size(package[:links]) > 0, "links")
for {_, link} <- package[:links], do: requires.(link =~ ~r{^https://}, "links that are URLs")
for key <- Keyword.keys(package), do: requires.(key in [:licenses, :links, :files], "#{key}")

for dep <- config[:deps],
    not (is_tuple(dep) and tuple_size(dep) == 3 and elem(dep, 2)[:only] == :dev) do
  by_version =
    match?({_, requirement} when is_binary(requirement), dep) or
      match?({_, requirement, [optional: true]} when is_binary(requirement), dep)

  requires.(by_version, "no dependency by path")
end

# It expands names as Hex does, which leaves out names with a leading point.
files =
  for name <- package[:files],
      found = requires.(Path.wildcard(name) != [], "no file #{name}") && Path.wildcard(name),
      path <- found,
      file <- if(File.dir?(path), do: Path.wildcard(path <> "/**"), else: [path]),
      not File.dir?(file),
      do: file

for file <- files do
  %{type: type, size: size} = File.lstat!(file)
  requires.(type == :regular, "#{file} is no regular file")
  requires.(size < 4_000_000, "#{file} is large")
  File.mkdir_p!(Path.dirname(Path.join(to, file)))
  File.cp!(file, Path.join(to, file))
  File.chmod!(Path.join(to, file), 0o644)
end

there = Path.wildcard("**", match_dot: true) |> Enum.reject(&File.dir?/1)
requires.(there -- files == [], "files that it has and does not name: #{inspect(there -- files)}")

docs = config[:docs]
guides = Enum.filter(files, &(&1 =~ ~r{^guides/}))
requires.(docs[:extras] -- files == [], "no extras #{inspect(docs[:extras] -- files)}")
requires.(guides -- docs[:extras] == [], "guides that are no extras")

for guide <- guides do
  groups = for {_, pattern} <- docs[:groups_for_extras], guide =~ pattern, do: pattern
  requires.(length(groups) == 1, "one group for #{guide}")
end

IO.puts("#{config[:app]} #{config[:version]}")
