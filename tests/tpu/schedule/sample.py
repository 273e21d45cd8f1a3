"""A small scheduled module, written by hand in the compiler's own form."""

from __future__ import annotations

import re

# The entry: a loop that runs 3 times, a conditional, a copy within HBM, a prefetch, a fusion that
# updates 2 rows of a cache in place.
_TEXT = """HloModule jit_call, is_scheduled=true

%sliced (p0: f32[8,128], p1: s32[]) -> f32[1,128] {
  %p0 = f32[8,128]{1,0:T(8,128)} parameter(0)
  %p1 = s32[]{:T(128)} parameter(1)
  ROOT %ds = f32[1,128]{1,0:T(1,128)S(1)} dynamic-slice(%p0, %p1, %p1), dynamic_slice_sizes={1,128}
}

%updated (c: f32[64,128], r: f32[2,128], i: s32[]) -> f32[64,128] {
  %c = f32[64,128]{1,0} parameter(0)
  %r = f32[2,128]{1,0:S(1)} parameter(1)
  %i = s32[] parameter(2)
  ROOT %dus = f32[64,128]{1,0} dynamic-update-slice(%c, %r, %i, %i)
}

%body (state: (s32[], f32[8,128])) -> (s32[], f32[8,128]) {
  %state = (s32[], f32[8,128]{1,0}) parameter(0)
  %n = s32[] get-tuple-element(%state), index=0
  %x = f32[8,128]{1,0} get-tuple-element(%state), index=1
  %row = f32[1,128]{1,0:S(1)} fusion(%x, %n), kind=kLoop, calls=%sliced, @100
  ROOT %out = (s32[], f32[8,128]{1,0}) tuple(%n, %x)
}

%condition (state.1: (s32[], f32[8,128])) -> pred[] {
  %state.1 = (s32[], f32[8,128]{1,0}) parameter(0)
  %n.1 = s32[] get-tuple-element(%state.1), index=0
  %limit = s32[] constant(3)
  ROOT %less = pred[] compare(%n.1, %limit), direction=LT
}

%greedy (g: f32[8,128]) -> f32[8,128] {
  %g = f32[8,128]{1,0} parameter(0)
  ROOT %same = f32[8,128]{1,0} bitcast(%g)
}

%sampled (s: f32[8,128]) -> f32[8,128] {
  %s = f32[8,128]{1,0} parameter(0)
  ROOT %sorted = f32[8,128]{1,0} negate(%s), @7000
}

ENTRY %main (a: f32[8,128], cache: f32[64,128], rows: f32[2,128], k: s32[]) -> f32[64,128] {
  %a = f32[8,128]{1,0} parameter(0)
  %cache = f32[64,128]{1,0} parameter(1)
  %rows = f32[2,128]{1,0} parameter(2)
  %k = s32[] parameter(3)
  %start = (f32[2,128]{1,0:S(1)}, f32[2,128]{1,0}, u32[]) copy-start(%rows)
  %near = f32[2,128]{1,0:S(1)} copy-done(%start)
  %tuple = (s32[], f32[8,128]{1,0}) tuple(%k, %a)
  %loop = (s32[], f32[8,128]{1,0}) while(%tuple), condition=%condition, body=%body
  %b = f32[8,128]{1,0} get-tuple-element(%loop), index=1
  %either = f32[8,128]{1,0} conditional(%k, %b, %b), branch_computations={%greedy, %sampled}
  %copy.1 = f32[8,128]{1,0} copy(%either)
  %sum = f32[8,128]{1,0} all-reduce(%copy.1), channel_id=1, to_apply=%greedy
  ROOT %new = f32[64,128]{1,0} fusion(%cache, %near, %k), kind=kLoop, calls=%updated, @50
}
"""
# `@100` stands for the estimate that the compiler attaches.
TEXT = re.sub(r"@(\d+)", r'backend_config={"estimated_cycles":"\1"}', _TEXT)
