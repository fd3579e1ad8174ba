/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The address family. Every balancer and control program is compiled twice, with SHOAL_FAMILY 4 and 6; what differs
 * stands in family4.h and family6.h under the same names, so that the rest is written once.
 */
#ifndef SHOAL_FAMILY_H
#define SHOAL_FAMILY_H

#define AF_IPV4 2		/* AF_INET */
#define AF_IPV6 10		/* AF_INET6 */

#if SHOAL_FAMILY == 4
#include "family4.h"
#elif SHOAL_FAMILY == 6
#include "family6.h"
#else
#error "compile with -DSHOAL_FAMILY=4 or 6"
#endif

#endif
