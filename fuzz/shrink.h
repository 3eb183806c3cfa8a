/* SPDX-License-Identifier: GPL-2.0-only */
/* Runs programs in processes of their own, and makes failing ones smaller. */
#ifndef FUZZ_SHRINK_H
#define FUZZ_SHRINK_H

#include "world.h"

enum outcome run_apart(const struct prog *p, struct report *report,
		       const char *breakage);
void explain(const struct prog *p, uint64_t seed, struct report *report,
	     enum outcome how, const char *breakage);

#endif /* FUZZ_SHRINK_H */
