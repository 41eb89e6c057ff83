#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`make bench`: measures, prints a table, writes build/bench.json.

ONLY=name,... runs the groups that make those names (a name or a part of one); QUICK=1
measures for seconds only, to see that everything runs; VERBOSE=1 prints each round.
bench.json is an array of {name, value, unit, baseline, ratio, target, ok}: for names that
end in _ratio the value is the ratio (median of alternated pairs) and baseline the
denominator's median in the unit; ok is null where there is no target.
"""
import importlib
import json
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "..", "lab")]
import lab as labs  # noqa: E402

# group (a module here) -> what it measures
GROUPS = {
    "overlay": ["overlay_pps_ratio", "overlay_pps_untagged_ratio", "overlay_cpu_ratio",
                "overlay_tcp_ratio"],
    "latency": ["assoc_answer_ms_p50", "assoc_answer_ms_p99", "assoc_answer_4000_ms_p50",
                "assoc_first_packet_ms_p50", "assoc_first_packet_ms_p99",
                "assoc_first_packet_lost",
                "assoc_first_packet_4000_ratio"],
    "foreign": ["assoc_lldpad_answer_ms_p50", "assoc_lldpad_answer_ms_p99",
                "assoc_lldpad_first_packet_ms_p50"],
    "load": ["assoc_confirmed_per_s", "assoc_linearity", "assoc_far_behind_s", "nve_bytes_per_attachment",
             "nva_bytes_per_mapping"],
    "restart": ["nve_restart_lost", "nve_restart_ms"],
    "migration": ["migration_lost_pause0", "migration_lost_pause50", "migration_lost_pause500",
                  "migration_beyond_pause0", "migration_beyond_pause50",
                  "migration_beyond_pause500", "migration_lost_1000_others",
                  "migration_beyond_1000_others", "migration_dup", "migration_reordered", "migration_udp10k_lost", "migration_udp10k_reordered",
                  "migration_tcp_ratio", "migration_tcp_hold_ratio",
                  "migration_tcp_retransmitted", "migration_relearn_lost"],
    "authority": ["map_requests_per_s", "map_requests_per_cpu_s",
                  "map_registrations_per_s"],
    "sim": ["sim_steps_per_s", "sim_seeds_per_s", "sim_migrations_per_s", "sim_nves", "sim_vms",
            "sim_nves_steps_per_s", "sim_nves_seconds", "sim_nves_memory"],
    "guest": ["migration_vm_lost_beyond_pause", "migration_vm_dup", "migration_vm_early",
              "migration_vm_unanswered", "migration_vm_broken",
              "migration_vm_lost_p50", "migration_vm_pause_ms_p50"],
}


class Bench:
    def __init__(self):
        self.quick = os.environ.get("QUICK") == "1"
        self.verbose = os.environ.get("VERBOSE") == "1"
        self.only = [w for w in os.environ.get("ONLY", "").split(",") if w]
        self.rows = []

    def wanted(self, name):
        return not self.only or any(w in name for w in self.only)

    def note(self, i, values):
        if self.verbose:
            print(f"  round {i}: " + ", ".join(f"{k} {v:.4g}" for k, v in values.items()),
                  flush=True)

    def row(self, name, value, unit, target=None, at_most=False, baseline=None, ratio=None):
        """target: the least value that is good, or the largest one (at_most)."""
        if not self.wanted(name):
            return
        ok = None if target is None else value <= target if at_most else value >= target
        self.rows.append({"name": name, "value": value, "unit": unit, "baseline": baseline,
                          "ratio": ratio, "target": target, "ok": ok})
        mark = {None: "    ", True: "ok  ", False: "LOW "}[ok]
        goal = "" if target is None else f"{'at most' if at_most else 'at least'} {target:g}"
        base = "" if baseline is None else f"baseline {baseline:.5g}"
        print(f"{mark} {name:34} {value:>12.5g} {unit:14} {goal:18} {base}", flush=True)

    def ratio(self, name, value, baseline, ratio, target, unit=None, at_most=False):
        """Both sides' medians and the median of the ratios, which is what is judged."""
        unit = unit or ("bit/s" if "tcp" in name else "frames/s")
        ok = ratio <= target if at_most else ratio >= target
        if not self.wanted(name):
            return
        self.rows.append({"name": name, "value": value, "unit": unit, "baseline": baseline,
                          "ratio": ratio, "target": target, "ok": ok})
        print(f"{'ok  ' if ok else 'LOW '} {name:34} {ratio:>12.4f} {'':14} "
              f"{'at most' if at_most else 'at least'} {target:<9g} {value:.5g} to {baseline:.5g} {unit}",
              flush=True)


def main():
    if os.geteuid() != 0:
        print("make bench needs root: it makes network namespaces", file=sys.stderr)
        return 2
    bench, failed = Bench(), []
    started = time.monotonic()
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} CPUs, load {load:.2f}"
          + (": others work here too, figures will be low" if load > 0.5 else ""))
    for group, names in GROUPS.items():
        if not any(bench.wanted(n) for n in names):
            continue
        try:
            importlib.import_module(group).run(bench)
        except (labs.LabError, OSError, ValueError, RuntimeError) as e:
            failed.append(group)
            print(f"FAIL {group}: {e}", file=sys.stderr)
    os.makedirs(labs.BUILD, exist_ok=True)
    path = os.path.join(labs.BUILD, "bench.json")
    with open(path, "w", encoding="utf-8") as out:
        json.dump(bench.rows, out, indent=1)
        out.write("\n")
    low = [r["name"] for r in bench.rows if r["ok"] is False]
    print(f"{len(bench.rows)} figures, {len(low)} below target"
          + (f" ({', '.join(low)})" if low else "")
          + (f", not measured: {', '.join(failed)}" if failed else "")
          + f", {time.monotonic() - started:.0f} s. Details: {path}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
