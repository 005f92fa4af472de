defmodule Erluv.SandboxTest do
  use Erluv.Case

  doctest Erluv.Sandbox

  # What this kernel cannot do is refused, and nothing else.
  defp files?, do: Erluv.cmd("true", [], sandbox: :read_only) == {"", 0}

  setup do
    dir = "/tmp/erluv-sandbox-#{System.unique_integer([:positive])}"
    {_, 0} = Erluv.cmd("mkdir", [dir])
    on_exit(fn -> File.rm_rf!(dir) end)
    %{dir: dir}
  end

  defp sh(script, opts), do: Erluv.cmd("sh", ["-c", script], opts ++ [stderr: :disable, cd: "/"])

  test "words for what a program may write", %{dir: dir} do
    script =
      "echo x >#{dir}/a && echo in; echo x >/tmp/#{Path.basename(dir)}-b && echo out; echo x >/dev/null && echo null"

    cases = [
      {[], "in\nout\nnull\n"},
      {[sandbox: :read_only], "null\n"},
      {[sandbox: {:workspace, dir}], "in\nnull\n"},
      {[sandbox: [workspace: [dir]]], "in\nnull\n"},
      {[sandbox: [:no_network, workspace: dir]], "in\nnull\n"},
      {[sandbox: [:no_network, :read_only]], "null\n"},
      {[sandbox: %{write: ["/dev/null"], exec: ["/"]}], "null\n"}
    ]

    for {opts, out} <- cases do
      if opts == [] or files?() do
        assert {opts, sh(script, opts)} == {opts, {out, 0}}
      else
        assert_raise Erluv.Error, ~r/sandbox/, fn -> sh(script, opts) end
      end
    end

    File.rm("/tmp/#{Path.basename(dir)}-b")
  end

  # What a workspace is for. Programs that are not there are left out, but make, the compiler, tar
  # and what coreutils has.
  @recipes [
    {"make", "make test"},
    {"git",
     "git init -q repo && cd repo && echo x >f && git add f && " <>
       "git -c user.name=a -c user.email=a@b commit -qm one && git log --oneline | grep -q one"},
    {"tar", "tar cf a.tar t.c Makefile && mkdir x && tar xf a.tar -C x && cmp x/t.c t.c"},
    {"gzip", "cp t.c z && gzip z && gunzip z.gz && cmp z t.c"},
    {"sed", "cp t.c s && sed -i s/return/give/ s && grep -q give s"},
    {"cp", "chmod 750 t.sh && cp -p t.sh c && test -x c && ./c"},
    {"install", "install -m 700 t.sh i && ./i"},
    {"chmod", "cp t.sh m && chmod +x m && ./m"},
    {"touch", "touch -d 2001-01-01 t.c && test $(stat -c %Y t.c) -lt 1000000000"},
    {"python3", "python3 -m venv --without-pip venv && venv/bin/python -c 'print(1)'"}
  ]

  @required ["make", "tar", "gzip", "sed", "cp", "install", "chmod", "touch"]

  # Ways to a file that is outside, but its user's own, and to the directory where it is. Each
  # works without a sandbox.
  @escapes [
    "echo y >>$OUT/f",
    "echo y >$OUT/f",
    "echo y >|$OUT/new",
    "chmod 666 $OUT/f; echo y >>$OUT/f",
    "chmod 777 $OUT; echo y >$OUT/new",
    "touch $OUT/new",
    "mkdir $OUT/new",
    "mkfifo $OUT/new",
    "rm -f $OUT/f",
    "rmdir $OUT/d",
    "mv $OUT/f $OUT/g",
    "mv $OUT/f in",
    "echo y >in; mv in $OUT/f",
    "ln -s in $OUT/new",
    "ln $OUT/f in; echo y >>in",
    "echo y >in; ln in $OUT/new",
    "ln -s $OUT/f in; echo y >>in",
    "ln -s $OUT in; echo y >>in/f",
    "truncate -s 0 $OUT/f",
    "dd if=/dev/zero of=$OUT/f count=1 conv=notrunc",
    "exec 3<$OUT/f; echo y >>/proc/self/fd/3",
    "echo y >>/proc/self/root$OUT/f",
    "cd $OUT; echo y >>f",
    "cp /etc/passwd $OUT/f",
    "sed -i s/x/y/ $OUT/f",
    "tar cf - t.c | tar xf - -C $OUT"
  ]

  test "a workspace is enough to build, to check in and to unpack", %{dir: dir} do
    makefile = "test: t\n\t./t\nt: t.c\n\tcc -o t t.c\n"
    run = &sh(&1, [cd: dir, env: [{"HOME", dir}, {"TMPDIR", dir}]] ++ &2)

    {"", 0} =
      run.(
        "printf '#{makefile}' >Makefile; echo 'int main() { return 0; }' >t.c; " <>
          "printf '#!/bin/sh\n' >t.sh",
        []
      )

    sandbox = if files?(), do: [sandbox: [:no_network, workspace: dir]], else: []
    # Whoever adds calls of another kind keeps those of the workspace.
    more = if files?(), do: [allow: [:keyctl]], else: []

    for {program, script} <- @recipes,
        System.find_executable(program) || program in @required,
        opts <- [sandbox, sandbox ++ more] do
      {_, 0} = run.("rm -rf repo x z s c i m venv t; touch -d 2002-02-02 t.c", [])
      {out, status} = run.("exec 2>&1; " <> script, [stderr: :redirect_to_stdout] ++ opts)
      assert {script, status, out} == {script, 0, out}
    end
  end

  test "a workspace is no way to what is in files elsewhere", %{dir: dir} do
    out = dir <> "-out"
    on_exit(fn -> File.rm_rf!(out) end)
    run = &sh(&1, [cd: dir, env: [{"OUT", out}]] ++ &2)
    seen = "cd $OUT; find . -printf '%p %y %l\\n' | sort; cat f"
    again = "rm -rf in $OUT; mkdir -p $OUT/d; echo x >$OUT/f; echo x >t.c"

    for script <- @escapes do
      {_, 0} = run.(again, [])
      {before, 0} = run.(seen, [])
      run.(script, [])
      {changed, _} = run.(seen, [])
      linked = run.("stat -c %h in 2>/dev/null", [])

      assert {script, changed != before or linked == {"2\n", 0}} == {script, true}

      if files?() do
        {_, 0} = run.(again, [])
        run.(script, sandbox: {:workspace, dir})
        assert {script, run.(seen, [])} == {script, {before, 0}}
      end
    end

    # which its user owns
    run.("rm -rf $OUT", [])
  end

  test "attributes of files are a workspace's, and not what is only read", %{dir: dir} do
    {"", 0} = sh("echo x >#{dir}/f; mkdir #{dir}/in", [])
    script = "chmod 700 #{dir}/f && touch -d 2001-01-01 #{dir}/f && echo changed"

    if files?() do
      assert {"", 1} = sh(script, sandbox: :read_only)
      assert {"", 1} = sh(script, sandbox: [:no_network, :read_only])
      # As the documents say: wherever it lies.
      assert {"changed\n", 0} = sh(script, sandbox: {:workspace, dir <> "/in"})
    end

    assert_raise ArgumentError, ~r/allow/, fn ->
      sh(script, sandbox: {:workspace, dir}, allow: :keyctl)
    end
  end

  test "a workspace has a name" do
    for wrong <- ["", ~c"x", [nil], [""], 1, nil, ["/tmp" | "x"], [:tmp]],
        sandbox <- [{:workspace, wrong}, [:read_only, workspace: wrong]] do
      assert_raise ArgumentError, ~r/a workspace is a directory/, fn ->
        Erluv.Sandbox.expand(sandbox)
      end

      assert_raise ArgumentError, ~r/a workspace is a directory/, fn ->
        Erluv.cmd("true", [], sandbox: sandbox, cd: "/")
      end
    end

    assert Erluv.Sandbox.expand([:read_only | :no_network]) == [:read_only | :no_network]
  end

  test "no network" do
    script = "exec 3<>/dev/tcp/127.0.0.1/1"

    run = fn opts ->
      Erluv.cmd("bash", ["-c", script], [stderr_to_stdout: true, cd: "/"] ++ opts)
    end

    {refused, 1} = run.([])
    assert refused =~ "Connection refused"

    # The documents say so: what is only read has networks, such as the node's port.
    if files?(), do: assert({^refused, 1} = run.(sandbox: :read_only))
    {denied, 1} = run.(sandbox: :no_network)
    refute denied =~ "Connection refused"
  end

  test "what is no word is left to erluv" do
    for wrong <- [:all, [:read_only, :all], {:workspace, 1}, %{no: 1}, 3] do
      assert_raise ArgumentError, fn -> Erluv.cmd("true", [], sandbox: wrong, cd: "/") end
    end
  end
end
