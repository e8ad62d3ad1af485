#!/usr/bin/env python3
"""cuda/gates.py on a small listing made by hand: it passes, and each budget, broken alone, is one clear line and exit code 1.

  tests/cuda/gates_test.py cuda/gates.py
"""
import pathlib
import stat
import subprocess
import sys
import tempfile

ARCHS = ("sm_80", "sm_90")
# Two kernels, as cuobjdump lists them; KERNEL: mangled name, {REG}...: their measures. Threads come from the PTX.
RESOURCES = """Fatbin elf code:
arch = {arch}
Resource usage:
 Function _Z8multiplyIfLi4EEvPf:
  REG:{REG} STACK:{STACK} SHARED:{SHARED} LOCAL:{LOCAL} CONSTANT[0]:400
 Function _Z6add_upPf:
  REG:32 STACK:0 SHARED:0 LOCAL:0 CONSTANT[0]:400
"""
PTX = """Fatbin ptx code:
.visible .entry _Z8multiplyIfLi4EEvPf(
.maxntid {THREADS}, 1, 1
.visible .entry _Z6add_upPf(
.maxntid 256, 1, 1
"""
SASS = """Fatbin elf code:
arch = {arch}
\t\tFunction : _Z8multiplyIfLi4EEvPf
        /*0000*/                   {LOAD} [R2], [R4.64] ;
        /*0010*/                   {LOAD} [R6], [R8.64] ;
        /*0020*/                   LDS.128 R4, [R2] ;
        /*0030*/                   HMMA.16816.F32.BF16 R4, R4, R8, RZ ;
        /*0040*/                   {MMA} R8, R4, R10, RZ ;
        /*0050*/                   STG.E [R2.64], R4 ;
\t\tFunction : _Z6add_upPf
        /*0000*/                   LDG.E.128 R4, [R2.64] ;
        /*0010*/                   STG.E.128 [R2.64], R4 ;
"""
BUDGETS = """# kernel      registers  warps  tensor  access
multiply<*          128     16       2       2   # tensor cores
add_up(*             32     64       -     any
"""
GOOD = {"REG": 128, "STACK": 0, "SHARED": 1024, "LOCAL": 0, "THREADS": 256, "LOAD": "LDGSTS.E.BYPASS.128", "MMA": "HMMA.1688.F32.TF32"}


def gates(program, folder, budgets=BUDGETS, archs=ARCHS, drop="", **changes):
    """(exit code, output) of gates.py on the listing with these changes; `drop`: "sm_90 PATTERN" takes that function from sm_90."""
    measures = {**GOOD, **changes}

    def listing(template):
        parts = []
        for arch in archs:
            text = template.format(arch=arch, **measures)
            if drop and drop.split()[0] == arch:
                text = text.replace(drop.split()[1], "_Z5otherv")
            parts.append(text)
        return "\n".join(parts)

    for flag, text in (("resource-usage", listing(RESOURCES)), ("ptx", PTX.format(**measures)), ("sass", listing(SASS))):
        (folder / f"dump-{flag}").write_text(text)
    cuobjdump = folder / "cuobjdump"
    cuobjdump.write_text('#!/bin/sh\ncat "$2/${1#--}"\n')
    cuobjdump.chmod(cuobjdump.stat().st_mode | stat.S_IXUSR)
    (folder / "budgets.txt").write_text(budgets)
    done = subprocess.run([sys.executable, program, "--cuobjdump", cuobjdump, "--budgets", folder / "budgets.txt", folder], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def main(program):
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)

        def expect(code, *texts, **changes):
            nonlocal failed
            got, output = gates(program, folder, **changes)
            if got != code or not all(text in output for text in texts):
                failed += 1
                print(f"FAILED: {changes or 'as it is'}: exit {got} in place of {code}, wanted {texts} in\n{output}")

        expect(0, "2 kernels on 2 architectures, 0 findings")
        expect(1, "sm_80 multiply<float, 4>(float*): 129 registers, at most 128 allowed (budgets.txt:2, multiply<*)", REG=129)
        expect(1, "8 bytes of local memory (spills or stack), at most 0 allowed", STACK=8)
        expect(1, "16 bytes of local memory (spills or stack), at most 0 allowed", LOCAL=16)
        expect(0, STACK=8, budgets=BUDGETS.replace("128", "128:8"))
        expect(1, "16 bytes of local memory (spills or stack), at most 8 allowed", STACK=16, budgets=BUDGETS.replace("128", "128:8"))
        expect(0, THREADS=512)                                                                # 65536 registers: 16 warps of 128
        expect(1, "one multiprocessor holds 0 warps, at least 16 wanted", THREADS=1024)      # one block wants 131072
        expect(1, "sm_80 multiply<float, 4>(float*): one multiprocessor holds 8 warps", SHARED=100 << 10)  # two blocks do not fit in 164 KiB
        code, output = gates(program, folder, SHARED=100 << 10)
        if "sm_90 multiply" in output:  # they do in 228
            failed += 1
            print("FAILED: sm_90's shared memory is larger:\n" + output)
        expect(1, "1 tensor core instructions, at least 2 expected", MMA="FFMA")
        expect(1, "2 tensor core instructions, none expected", budgets=BUDGETS.replace(" 2       2", " -       2"))
        expect(1, "0 accesses of 16 bytes, at least 2 expected", LOAD="LDGSTS.E")
        expect(1, "sm_90 add_up(float*): no line of budgets.txt is about it", budgets=BUDGETS.replace("add_up(", "add_down("))
        expect(1, "budgets.txt:3: no kernel is called add_down(*", budgets=BUDGETS.replace("add_up(", "add_down("))
        expect(1, "sm_90 add_up(float*): not compiled for this architecture, though for sm_80", drop="sm_90 _Z6add_upPf")
        expect(1, "sm_75: its limits are not known here (sm_80, sm_90 are)", archs=("sm_75",))
        expect(1, "0 kernels on 0 architectures", archs=())
    print("gates.py: " + (f"{failed} failed" if failed else "each budget is asserted"))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
