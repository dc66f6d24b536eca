/* This file is longer than 300 lines: it is compiled alone, without a build system.
   Sums of bilinear samples along lines through a stack of planes (Joseph 1982), and their derivatives. Float32.

   A volume is seen as nm planes of nb x na voxels; the innermost axis a is contiguous, sb and sm are the strides of the
   other two, in voxels. A line crosses plane k at (x, y) = (x_mid + (k - k_mid) dx, y_mid + (k - k_mid) dy), in voxels.
   Outside the grid the volume is zero. `lines` holds four images of h x w: x_mid, dx, y_mid, dy.

   The caller runs the same call in several threads; they share `next`, from which each takes the next job.
   Two versions of the march and its adjoint: AVX-512, which loads a run of voxels and permutes it instead of gathering,
   and portable C for every other processor. */
#include <math.h>
#include <stdint.h>
#include <string.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

typedef struct {
    const float *volume;          /* channels of the volume, channel_stride apart */
    int64_t channel_stride, sm, sb;
    int32_t channels, nm, nb, na; /* na, nb, nm voxels */
    const float *lines;           /* [4][h][w] */
    int32_t h, w;
    float k_mid;
    float *out;                   /* march: [channels][h][w]; slopes: [4][h][w] */
    const float *weight;          /* slopes, spread: [channels][h][w], derivative of the loss by each sum */
    float *spread;                /* spread: derivative by the volume, same layout as the volume */
    int32_t *next;                /* shared job counter, starts at 0 */
} march_t;

#ifndef ROWS
#define ROWS 16  /* detector rows a job */
#endif
#define PLANES 16 /* planes a job of the adjoint: threads own planes, so no two write one voxel */
#define MAXC 8

/* One build, several processors: the loader picks the AVX2 copy where it runs. */
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define CLONES __attribute__((target_clones("arch=x86-64-v3", "default")))
#else
#define CLONES
#endif

int spondyl_portable = 0; /* set by the tests: run the portable code on a processor that has AVX-512 */

static inline int32_t take(int32_t *next) { return __atomic_fetch_add(next, 1, __ATOMIC_RELAXED); }

/* ---- the lines themselves: what lines.py computes, for calls that need no derivative -------------------------------- */

typedef struct {
    double turn[3][3];  /* detector axes (u, v, beam) seen along the grid's axes a, b and m: rows a, b, m; voxels per mm */
    double origin[3];   /* detector centre along a, b, m, voxels */
    double pitch_u, pitch_v, sdd, k_mid;
    int32_t h, w, fan_u, fan_v; /* fan: rays diverge along u, along v */
    float *lines, *step;        /* [4][h][w]; [h][w] */
    int32_t *next;
} aim_t;

void spondyl_aim(const aim_t *p) {
    const int64_t n = (int64_t)p->h * p->w;
    for (int32_t r; (r = take(p->next)) < p->h;) {
        const double y = (r - (p->h - 1) / 2.) * p->pitch_v, vy = p->fan_v ? y : 0;
        for (int32_t c = 0; c < p->w; c++) {
            const double x = (c - (p->w - 1) / 2.) * p->pitch_u, vx = p->fan_u ? x : 0;
            double d[3], o[3];
            for (int i = 0; i < 3; i++) {
                d[i] = p->turn[i][0] * vx + p->turn[i][1] * vy + p->turn[i][2] * p->sdd;
                o[i] = p->turn[i][0] * x + p->turn[i][1] * y + p->origin[i];
            }
            const double per_plane = 1 / d[2], to_mid = p->k_mid - o[2], dx = d[0] * per_plane, dy = d[1] * per_plane;
            const int64_t at = r * (int64_t)p->w + c;
            p->lines[at] = (float)(o[0] + to_mid * dx), p->lines[n + at] = (float)dx;
            p->lines[2 * n + at] = (float)(o[1] + to_mid * dy), p->lines[3 * n + at] = (float)dy;
            p->step[at] = (float)(sqrt(vx * vx + vy * vy + p->sdd * p->sdd) * fabs(per_plane));
        }
    }
}

/* ---- portable C: sixteen neighbouring lines at once, plane by plane ----------------------------------------------
   The arithmetic of the sixteen vectorises; only the loads and stores of the four neighbours are scalar. Plane by plane,
   because the sixteen read neighbouring voxels of a plane, while one line's voxels in many planes collide in the cache. */

#define RUN 16 /* lines a bundle */
typedef struct {
    float x[RUN], dx[RUN], y[RUN], dy[RUN];
    int32_t live, lo, hi, ilo, ihi; /* planes with any line on the grid; planes with every line well inside */
} bundle_t;
typedef struct {
    int32_t at[RUN]; /* offset of the upper left neighbour in its plane */
    float fx[RUN], fy[RUN];
} place_t;

/* Parameter range t in which low < x + t dx < high, met with [t0, t1]. */
static inline void meet(float x, float dx, float low, float high, float *t0, float *t1) {
    const float slope = fabsf(dx) < 1e-7f ? 1e-7f : dx, u = (low - x) / slope, v = (high - x) / slope;
    *t0 = fmaxf(*t0, fminf(u, v)), *t1 = fminf(*t1, fmaxf(u, v));
}
static inline int32_t within(float v, int32_t low, int32_t high) { return v < low ? low : v > high ? high : (int32_t)v; }

static inline bundle_t bundle(const march_t *p, int64_t pixel, int32_t live) {
    const int64_t n = (int64_t)p->h * p->w;
    bundle_t b = {.live = live < RUN ? live : RUN};
    float any0 = 1e9f, any1 = -1e9f, all0 = -1e9f, all1 = 1e9f;
    for (int e = 0; e < RUN; e++) {
        const int64_t at = pixel + (e < b.live ? e : b.live - 1); /* lines past the last column repeat it */
        b.x[e] = p->lines[at], b.dx[e] = p->lines[n + at], b.y[e] = p->lines[2 * n + at], b.dy[e] = p->lines[3 * n + at];
    }
    const float margin = .002f;
    for (int e = 0; e < RUN; e++) {
        float u0 = -1e9f, u1 = 1e9f, v0 = -1e9f, v1 = 1e9f;
        meet(b.x[e], b.dx[e], -1, p->na, &u0, &u1), meet(b.y[e], b.dy[e], -1, p->nb, &u0, &u1);
        meet(b.x[e], b.dx[e], margin, p->na - 1 - margin, &v0, &v1), meet(b.y[e], b.dy[e], margin, p->nb - 1 - margin, &v0, &v1);
        any0 = fminf(any0, u0), any1 = fmaxf(any1, u1), all0 = fmaxf(all0, v0), all1 = fminf(all1, v1);
    }
    /* a plane of slack outside: one too many adds zeros, one too few would lose a sample to rounding */
    b.lo = within(floorf(any0 + p->k_mid), 0, p->nm), b.hi = within(ceilf(any1 + p->k_mid), -1, p->nm - 1);
    b.ilo = within(ceilf(all0 + p->k_mid), 0, p->nm), b.ihi = within(floorf(all1 + p->k_mid), -1, p->nm - 1);
    return b;
}

static inline place_t place(const march_t *p, const bundle_t *b, float t) {
    place_t at;
    const int32_t sb = (int32_t)p->sb;
    for (int e = 0; e < RUN; e++) {
        const float x = b->x[e] + t * b->dx[e], y = b->y[e] + t * b->dy[e];
        const int32_t i = (int32_t)x, j = (int32_t)y;
        at.fx[e] = x - i, at.fy[e] = y - j, at.at[e] = j * sb + i;
    }
    return at;
}

/* The four neighbours of a position near or beyond the border: offset, weights; absent ones get weight and offset 0. */
typedef struct {
    int64_t at[4];
    float w[4], wx[4], wy[4];
} edge_t;
static inline int edge(const march_t *p, const bundle_t *b, int e, float t, edge_t *out) {
    const float x = b->x[e] + t * b->dx[e], y = b->y[e] + t * b->dy[e];
    if (!(x > -1 && x < p->na && y > -1 && y < p->nb)) return 0;
    const int32_t i = (int32_t)(x + 1) - 1, j = (int32_t)(y + 1) - 1;
    const float fx = x - i, fy = y - j, wx[2] = {1 - fx, fx}, wy[2] = {1 - fy, fy};
    const int whole = i >= 0 && i < p->na - 1 && j >= 0 && j < p->nb - 1;
    for (int q = 0; q < 4; q++) {
        const int di = q & 1, dj = q >> 1, on = whole || ((uint32_t)(i + di) < (uint32_t)p->na && (uint32_t)(j + dj) < (uint32_t)p->nb);
        out->at[q] = on ? (j + dj) * p->sb + i + di : 0;
        out->w[q] = on ? wx[di] * wy[dj] : 0, out->wx[q] = on ? (di ? wy[dj] : -wy[dj]) : 0, out->wy[q] = on ? (dj ? wx[di] : -wx[di]) : 0;
    }
    return 1;
}

static inline void neighbours(const float *plane, int64_t sb, const place_t *at, float v[4][RUN]) {
    for (int e = 0; e < RUN; e++) {
        const float *q = plane + at->at[e];
        v[0][e] = q[0], v[1][e] = q[1], v[2][e] = q[sb], v[3][e] = q[sb + 1];
    }
}

static inline void sum_bundle(const march_t *p, const float *volume, const bundle_t *b, float *sum) {
    for (int32_t k = b->lo; k <= b->hi; k++) {
        const float t = k - p->k_mid, *plane = volume + k * p->sm;
        if (k >= b->ilo && k <= b->ihi) {
            const place_t at = place(p, b, t);
            float v[4][RUN];
            neighbours(plane, p->sb, &at, v);
            for (int e = 0; e < RUN; e++) {
                const float top = v[0][e] + at.fx[e] * (v[1][e] - v[0][e]), low = v[2][e] + at.fx[e] * (v[3][e] - v[2][e]);
                sum[e] += top + at.fy[e] * (low - top);
            }
            continue;
        }
        edge_t q;
        for (int e = 0; e < b->live; e++)
            if (edge(p, b, e, t, &q))
                for (int n = 0; n < 4; n++) sum[e] += q.w[n] * plane[q.at[n]];
    }
}

/* In-plane slopes over x and y, and their moments about k_mid: g[0] dx, g[1] t dx, g[2] dy, g[3] t dy. */
static inline void slope_bundle(const march_t *p, const float *volume, const bundle_t *b, float g[4][RUN]) {
    for (int32_t k = b->lo; k <= b->hi; k++) {
        const float t = k - p->k_mid, *plane = volume + k * p->sm;
        if (k >= b->ilo && k <= b->ihi) {
            const place_t at = place(p, b, t);
            float v[4][RUN];
            neighbours(plane, p->sb, &at, v);
            for (int e = 0; e < RUN; e++) {
                const float top = v[1][e] - v[0][e], low = v[3][e] - v[2][e];
                const float sx = top + at.fy[e] * (low - top), sy = v[2][e] - v[0][e] + at.fx[e] * (low - top);
                g[0][e] += sx, g[1][e] += t * sx, g[2][e] += sy, g[3][e] += t * sy;
            }
            continue;
        }
        edge_t q;
        for (int e = 0; e < b->live; e++)
            if (edge(p, b, e, t, &q)) {
                float sx = 0, sy = 0;
                for (int n = 0; n < 4; n++) sx += q.wx[n] * plane[q.at[n]], sy += q.wy[n] * plane[q.at[n]];
                g[0][e] += sx, g[1][e] += t * sx, g[2][e] += sy, g[3][e] += t * sy;
            }
    }
}

/* Adds weight times the sampling weights to planes k0 to k1: the adjoint of sum_bundle. */
static inline void spread_bundle(const march_t *p, float *volume, const bundle_t *b, const float *weight, int32_t k0, int32_t k1) {
    for (int32_t k = k0 > b->lo ? k0 : b->lo; k <= k1 && k <= b->hi; k++) {
        const float t = k - p->k_mid;
        float *plane = volume + k * p->sm;
        if (k >= b->ilo && k <= b->ihi) {
            const place_t at = place(p, b, t);
            float w[4][RUN];
            for (int e = 0; e < RUN; e++) {
                const float low = weight[e] * at.fy[e], top = weight[e] - low;
                w[1][e] = top * at.fx[e], w[0][e] = top - w[1][e], w[3][e] = low * at.fx[e], w[2][e] = low - w[3][e];
            }
            for (int e = 0; e < b->live; e++) {
                float *q = plane + at.at[e];
                q[0] += w[0][e], q[1] += w[1][e], q[p->sb] += w[2][e], q[p->sb + 1] += w[3][e];
            }
            continue;
        }
        edge_t q;
        for (int e = 0; e < b->live; e++)
            if (edge(p, b, e, t, &q))
                for (int n = 0; n < 4; n++) plane[q.at[n]] += weight[e] * q.w[n];
    }
}

/* Ask for large pages under a big buffer that is about to be written: 4 kB pages cost more in faults than the sums do. */
void spondyl_large_pages(void *start, int64_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    const uintptr_t page = 1 << 21, first = ((uintptr_t)start + page - 1) & ~(page - 1), last = ((uintptr_t)start + bytes) & ~(page - 1);
    if (last > first) madvise((void *)first, last - first, MADV_HUGEPAGE);
#else
    (void)start, (void)bytes;
#endif
}

static inline int32_t bundles(const march_t *p) { return (p->w + RUN - 1) / RUN; }

CLONES void spondyl_march_portable(const march_t *p) {
    const int64_t n = (int64_t)p->h * p->w;
    for (int32_t r; (r = take(p->next)) < p->h;)
        for (int32_t q = 0; q < bundles(p); q++) {
            const int64_t pixel = (int64_t)r * p->w + q * RUN;
            const bundle_t b = bundle(p, pixel, p->w - q * RUN);
            for (int c = 0; c < p->channels; c++) {
                float sum[RUN] = {0};
                sum_bundle(p, p->volume + c * p->channel_stride, &b, sum);
                memcpy(p->out + c * n + pixel, sum, b.live * sizeof(float));
            }
        }
}

/* The derivative by the lines: for each pixel the weighted slopes, summed over channels. */
CLONES void spondyl_slopes(const march_t *p) {
    const int64_t n = (int64_t)p->h * p->w;
    for (int32_t r; (r = take(p->next)) < p->h;)
        for (int32_t q = 0; q < bundles(p); q++) {
            const int64_t pixel = (int64_t)r * p->w + q * RUN;
            const bundle_t b = bundle(p, pixel, p->w - q * RUN);
            float total[4][RUN] = {{0}};
            for (int c = 0; c < p->channels; c++) {
                float g[4][RUN] = {{0}};
                slope_bundle(p, p->volume + c * p->channel_stride, &b, g);
                for (int s = 0; s < 4; s++)
                    for (int e = 0; e < b.live; e++) total[s][e] += p->weight[c * n + pixel + e] * g[s][e];
            }
            for (int s = 0; s < 4; s++) memcpy(p->out + s * n + pixel, total[s], b.live * sizeof(float));
        }
}

/* Every line of the view spread over planes k0 to k1 of one channel. */
CLONES void spread_portable(const march_t *p, float *volume, const float *weights, int32_t k0, int32_t k1) {
    for (int32_t r = 0; r < p->h; r++)
        for (int32_t q = 0; q < bundles(p); q++) {
            const int64_t pixel = (int64_t)r * p->w + q * RUN;
            const bundle_t b = bundle(p, pixel, p->w - q * RUN);
            float weight[RUN] = {0};
            memcpy(weight, weights + pixel, b.live * sizeof(float));
            spread_bundle(p, volume, &b, weight, k0, k1);
        }
}

/* ---- a copy with the two inner axes exchanged: lets a view that marches along x run along contiguous voxels -------- */

typedef struct {
    const float *in; /* [slices][rows][columns] */
    float *out;      /* [slices][columns][rows] */
    int32_t slices, rows, columns;
    int32_t *next;
} swap_t;

void spondyl_swap(const swap_t *p) {
    enum { T = 16 };
    for (int32_t s; (s = take(p->next)) < p->slices;) {
        const float *in = p->in + (int64_t)s * p->rows * p->columns;
        float *out = p->out + (int64_t)s * p->rows * p->columns;
        for (int32_t r0 = 0; r0 < p->rows; r0 += T)
            for (int32_t c0 = 0; c0 < p->columns; c0 += T) {
                const int32_t r1 = r0 + T < p->rows ? r0 + T : p->rows, c1 = c0 + T < p->columns ? c0 + T : p->columns;
                for (int32_t c = c0; c < c1; c++)
                    for (int32_t r = r0; r < r1; r++) out[(int64_t)c * p->rows + r] = in[(int64_t)r * p->columns + c];
            }
    }
}

/* ---- forward, AVX-512 ------------------------------------------------------------------------------------------------ */

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <immintrin.h>
#define V512 __attribute__((target("avx512f,avx512dq,avx512vl,fma")))
#ifndef TILE
#define TILE 4
#endif
#define MAXROWS 6 /* rows of voxels that one group of lanes may span before gathers are cheaper */
#ifndef SLAB
#define SLAB 8
#endif

typedef struct {
    __m512 x, dx, y, dy;
    float xa, dxa, xb, dxb, ya, dya, yb, dyb; /* first and last lane: they bound all others where `ordered` */
    int32_t lo, hi, ilo, ihi;                 /* planes with any lane on the grid; planes with all lanes well inside */
    int32_t ordered;
} group_t;

V512 static inline __m512 lane_at(__m512 v, int last) { return _mm512_permutexvar_ps(_mm512_set1_epi32(last), v); }
V512 static inline float first_of(__m512 v) { return _mm512_cvtss_f32(v); }

/* Are all lanes between lane 0 and lane 15, in one order, at parameter t? 1: ascending, -1: descending, 0: neither. */
V512 static inline int order(__m512 v, __m512 d, float t) {
    const __m512 at = _mm512_fmadd_ps(_mm512_set1_ps(t), d, v), a = lane_at(at, 0), b = lane_at(at, 15);
    const int up = _mm512_cmp_ps_mask(at, a, _CMP_GE_OQ) == 0xffff && _mm512_cmp_ps_mask(at, b, _CMP_LE_OQ) == 0xffff;
    const int down = _mm512_cmp_ps_mask(at, a, _CMP_LE_OQ) == 0xffff && _mm512_cmp_ps_mask(at, b, _CMP_GE_OQ) == 0xffff;
    return up ? (down ? 2 : 1) : (down ? -1 : 0);
}
static inline int same_order(int a, int b) { return a != 0 && b != 0 && (a == b || a == 2 || b == 2); }

V512 static inline void clip(__m512 x, __m512 dx, float low, float high, float k_mid, __m512 *t0, __m512 *t1) {
    const __m512 tiny = _mm512_set1_ps(1e-7f);
    dx = _mm512_mask_mov_ps(dx, _mm512_cmp_ps_mask(_mm512_abs_ps(dx), tiny, _CMP_LT_OQ), tiny);
    const __m512 inv = _mm512_div_ps(_mm512_set1_ps(1), dx), mid = _mm512_set1_ps(k_mid);
    const __m512 u = _mm512_fmadd_ps(_mm512_sub_ps(_mm512_set1_ps(low), x), inv, mid);
    const __m512 v = _mm512_fmadd_ps(_mm512_sub_ps(_mm512_set1_ps(high), x), inv, mid);
    *t0 = _mm512_max_ps(*t0, _mm512_min_ps(u, v));
    *t1 = _mm512_min_ps(*t1, _mm512_max_ps(u, v));
}

static inline int32_t whole(float v, int32_t limit) { return v < -1 ? -1 : v > limit ? limit : (int32_t)v; }

V512 static void open_group(const march_t *p, int64_t pixel, int live, group_t *g) {
    const int64_t n = (int64_t)p->h * p->w;
    const __mmask16 mask = live >= 16 ? 0xffff : (__mmask16)((1u << live) - 1);
    /* lanes past the last column repeat it: they read what it reads and are not stored */
    const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i pick = _mm512_min_epi32(lane, _mm512_set1_epi32(live - 1));
    __m512 *dst[4] = {&g->x, &g->dx, &g->y, &g->dy};
    for (int s = 0; s < 4; s++) *dst[s] = _mm512_permutexvar_ps(pick, _mm512_maskz_loadu_ps(mask, p->lines + s * n + pixel));
    __m512 any0 = _mm512_setzero_ps(), any1 = _mm512_set1_ps(p->nm - 1), all0 = any0, all1 = any1;
    clip(g->x, g->dx, -1, p->na, p->k_mid, &any0, &any1);
    clip(g->y, g->dy, -1, p->nb, p->k_mid, &any0, &any1);
    clip(g->x, g->dx, .002f, p->na - 1.002f, p->k_mid, &all0, &all1);
    clip(g->y, g->dy, .002f, p->nb - 1.002f, p->k_mid, &all0, &all1);
    /* one plane of slack outside: a plane too many adds zeros, a plane too few would lose a sample to rounding */
    g->lo = whole(ceilf(_mm512_reduce_min_ps(any0)) - 1, p->nm), g->hi = whole(floorf(_mm512_reduce_max_ps(any1)) + 1, p->nm - 1);
    if (g->lo < 0) g->lo = 0;
    g->ilo = whole(ceilf(_mm512_reduce_max_ps(all0)), p->nm), g->ihi = whole(floorf(_mm512_reduce_min_ps(all1)), p->nm - 1);
    if (g->ihi < g->ilo) g->ilo = g->hi + 1, g->ihi = g->hi;
    const float t0 = g->ilo - p->k_mid, t1 = g->ihi - p->k_mid;
    g->ordered = same_order(order(g->x, g->dx, t0), order(g->x, g->dx, t1)) && same_order(order(g->y, g->dy, t0), order(g->y, g->dy, t1));
    g->xa = first_of(g->x), g->xb = first_of(lane_at(g->x, 15)), g->dxa = first_of(g->dx), g->dxb = first_of(lane_at(g->dx, 15));
    g->ya = first_of(g->y), g->yb = first_of(lane_at(g->y, 15)), g->dya = first_of(g->dy), g->dyb = first_of(lane_at(g->dy, 15));
}

V512 static inline __m512 lerp(__m512 a, __m512 b, __m512 f) { return _mm512_fmadd_ps(f, _mm512_sub_ps(b, a), a); }

/* Sixteen samples by masked gathers: any order of lanes, anywhere near the grid. */
V512 static __m512 gather16(const float *plane, int64_t sb, int32_t nb, int32_t na, __m512 x, __m512 y) {
    const __m512 xf = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    const __m512 yf = _mm512_roundscale_ps(y, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    const __m512 fx = _mm512_sub_ps(x, xf), fy = _mm512_sub_ps(y, yf), one = _mm512_set1_ps(1);
    const __m512i ix = _mm512_cvtps_epi32(xf), iy = _mm512_cvtps_epi32(yf);
    __m512 sum = _mm512_setzero_ps();
    for (int dj = 0; dj < 2; dj++)
        for (int di = 0; di < 2; di++) {
            const __m512i i = _mm512_add_epi32(ix, _mm512_set1_epi32(di)), j = _mm512_add_epi32(iy, _mm512_set1_epi32(dj));
            const __mmask16 on = _mm512_cmplt_epu32_mask(i, _mm512_set1_epi32(na)) & _mm512_cmplt_epu32_mask(j, _mm512_set1_epi32(nb));
            if (!on) continue;
            const __m512i at = _mm512_add_epi32(_mm512_mullo_epi32(j, _mm512_set1_epi32((int)sb)), i);
            const __m512 v = _mm512_mask_i32gather_ps(_mm512_setzero_ps(), on, at, plane, 4);
            const __m512 wx = di ? fx : _mm512_sub_ps(one, fx), wy = dj ? fy : _mm512_sub_ps(one, fy);
            sum = _mm512_fmadd_ps(v, _mm512_mul_ps(wx, wy), sum);
        }
    return sum;
}

/* One interpolated row: voxels row[r], row[r + 1] of each lane, from a run of 16 or 32 voxels. */
V512 static inline __m512 row16(const float *row, __m512i r, __m512 fx) {
    const __m512 a = _mm512_loadu_ps(row);
    return lerp(_mm512_permutexvar_ps(r, a), _mm512_permutexvar_ps(_mm512_add_epi32(r, _mm512_set1_epi32(1)), a), fx);
}
V512 static inline __m512 row32(const float *row, __m512i r, __m512 fx) {
    const __m512 a = _mm512_loadu_ps(row), b = _mm512_loadu_ps(row + 16);
    return lerp(_mm512_permutex2var_ps(a, r, b), _mm512_permutex2var_ps(a, _mm512_add_epi32(r, _mm512_set1_epi32(1)), b), fx);
}

/* Sixteen samples whose lanes lie in `rows` + 2 neighbouring rows; below[j] marks the lanes past row j + 1. */
#define BLOCK(name, row)                                                                                               \
    V512 static inline __m512 name(const float *v, int64_t sb, __m512i r, __m512 fx, __m512 fy, int rows, const __mmask16 *below) { \
        __m512 top = row(v, r, fx), low = row(v + sb, r, fx), last = low;                                              \
        for (int j = 0; j < rows; j++) {                                                                               \
            const __m512 next = row(v + (j + 2) * sb, r, fx);                                                          \
            top = _mm512_mask_mov_ps(top, below[j], last), low = _mm512_mask_mov_ps(low, below[j], next), last = next; \
        }                                                                                                              \
        return lerp(top, low, fy);                                                                                     \
    }
BLOCK(block16, row16)
BLOCK(block32, row32)

V512 static inline __attribute__((always_inline)) void slab(const march_t *p, const group_t *g, int32_t k0, int32_t k1, int channels, __m512 *sum) {
    const __m512 x0 = g->x, dx = g->dx, y0 = g->y, dy = g->dy;
    const int64_t sb = p->sb, end = (int64_t)(p->nm - 1) * p->sm + (int64_t)(p->nb - 1) * sb + p->na;
    __m512 acc[MAXC];
    for (int c = 0; c < channels; c++) acc[c] = sum[c];
    for (int32_t k = k0; k <= k1; k++) {
        const float t = k - p->k_mid;
        const __m512 tt = _mm512_set1_ps(t), x = _mm512_fmadd_ps(tt, dx, x0), y = _mm512_fmadd_ps(tt, dy, y0);
        const float *plane = p->volume + k * p->sm;
        if (k >= g->ilo && k <= g->ihi && g->ordered) {
            const float xa = fmaf(t, g->dxa, g->xa), xb = fmaf(t, g->dxb, g->xb), ya = fmaf(t, g->dya, g->ya), yb = fmaf(t, g->dyb, g->yb);
            const int32_t ia = (int32_t)xa, ib = (int32_t)xb, ja = (int32_t)ya, jb = (int32_t)yb;
            const int32_t i0 = ia < ib ? ia : ib, span = ia < ib ? ib - ia : ia - ib;
            const int32_t j0 = ja < jb ? ja : jb, rows = ja < jb ? jb - ja : ja - jb;
            const int64_t at = j0 * sb + i0;
            if (span < 30 && rows < MAXROWS && k * p->sm + at + (1 + rows) * sb + 32 <= end) {
                /* a lane may round past its end lanes: offsets are held in the run, and fractions follow the offset used */
                const __m512i ix = _mm512_cvttps_epi32(x), r = _mm512_max_epi32(_mm512_sub_epi32(ix, _mm512_set1_epi32(i0)), _mm512_setzero_si512());
                const __m512 fx = _mm512_sub_ps(x, _mm512_cvtepi32_ps(_mm512_add_epi32(r, _mm512_set1_epi32(i0))));
                const __m512 dy0 = _mm512_sub_ps(y, _mm512_set1_ps(j0));
                __mmask16 below[MAXROWS];
                __m512 fy = dy0;
                for (int j = 0; j < rows; j++) {
                    below[j] = _mm512_cmp_ps_mask(dy0, _mm512_set1_ps(j + 1), _CMP_GE_OQ);
                    fy = _mm512_mask_sub_ps(fy, below[j], fy, _mm512_set1_ps(1));
                }
                for (int c = 0; c < channels; c++) {
                    const float *v = plane + c * p->channel_stride + at;
                    acc[c] = _mm512_add_ps(acc[c], span < 14 ? block16(v, sb, r, fx, fy, rows, below) : block32(v, sb, r, fx, fy, rows, below));
                }
                continue;
            }
        }
        for (int c = 0; c < channels; c++)
            acc[c] = _mm512_add_ps(acc[c], gather16(plane + c * p->channel_stride, sb, p->nb, p->na, x, y));
    }
    for (int c = 0; c < channels; c++) sum[c] = acc[c];
}

V512 static void march_tile(const march_t *p, int32_t r0, int32_t q0) {
    group_t g[ROWS * TILE];
    __m512 sum[ROWS * TILE][MAXC];
    const int32_t groups = (p->w + 15) / 16, q1 = q0 + TILE < groups ? q0 + TILE : groups;
    const int32_t r1 = r0 + ROWS < p->h ? r0 + ROWS : p->h;
    int32_t lo = p->nm, hi = -1, count = 0;
    for (int32_t r = r0; r < r1; r++)
        for (int32_t q = q0; q < q1; q++, count++) {
            open_group(p, (int64_t)r * p->w + 16 * q, p->w - 16 * q, g + count);
            if (g[count].lo < lo) lo = g[count].lo;
            if (g[count].hi > hi) hi = g[count].hi;
            for (int c = 0; c < p->channels; c++) sum[count][c] = _mm512_setzero_ps();
        }
    for (int32_t k = lo; k <= hi; k += SLAB)
        for (int32_t j = 0; j < count; j++) {
            const int32_t k0 = k > g[j].lo ? k : g[j].lo, last = k + SLAB - 1, k1 = last < g[j].hi ? last : g[j].hi;
            switch (p->channels) {
            case 1: slab(p, g + j, k0, k1, 1, sum[j]); break;
            case 2: slab(p, g + j, k0, k1, 2, sum[j]); break;
            case 3: slab(p, g + j, k0, k1, 3, sum[j]); break;
            case 4: slab(p, g + j, k0, k1, 4, sum[j]); break;
            default: slab(p, g + j, k0, k1, p->channels, sum[j]);
            }
        }
    const int64_t n = (int64_t)p->h * p->w;
    count = 0;
    for (int32_t r = r0; r < r1; r++)
        for (int32_t q = q0; q < q1; q++, count++)
            for (int c = 0; c < p->channels; c++) {
                const int live = p->w - 16 * q;
                const __mmask16 mask = live >= 16 ? 0xffff : (__mmask16)((1u << live) - 1);
                _mm512_mask_storeu_ps(p->out + c * n + (int64_t)r * p->w + 16 * q, mask, sum[count][c]);
            }
}

V512 static void march_avx512(const march_t *p) {
    const int32_t tiles = ((p->w + 15) / 16 + TILE - 1) / TILE, jobs = (p->h + ROWS - 1) / ROWS;
    for (int32_t job; (job = take(p->next)) < jobs;)
        for (int32_t q = 0; q < tiles; q++) march_tile(p, job * ROWS, q * TILE);
}

/* ---- derivative by the volume, AVX-512: half a group at a time, in a window of 16 voxels ---------------------------
   Neighbouring lines write the same voxels, and a load that waits for the store before it costs more than arithmetic. So
   the window is held in registers, and every lane adds its hat function to all of it. */

typedef struct {
    __m512 x, dx, y, dy;
    float xa, dxa, xb, dxb, ya, dya, yb, dyb; /* first and last lane of the half */
    int32_t first, ilo, ihi;
} half_t;

V512 static inline __m512 spread_lanes(__m512 v, int first) {
    const __m512i lane = _mm512_set_epi32(7, 6, 5, 4, 3, 2, 1, 0, 7, 6, 5, 4, 3, 2, 1, 0);
    return _mm512_permutexvar_ps(_mm512_add_epi32(lane, _mm512_set1_epi32(first)), v);
}

/* The half of a group from lane `first` on; ihi < ilo where its lanes are not in order. */
V512 static half_t half_of(const march_t *p, const group_t *g, int first) {
    half_t h = {spread_lanes(g->x, first), spread_lanes(g->dx, first), spread_lanes(g->y, first), spread_lanes(g->dy, first)};
    h.first = first, h.ilo = g->ilo, h.ihi = g->ihi;
    const float t0 = g->ilo - p->k_mid, t1 = g->ihi - p->k_mid;
    if (!same_order(order(h.x, h.dx, t0), order(h.x, h.dx, t1)) || !same_order(order(h.y, h.dy, t0), order(h.y, h.dy, t1))) h.ihi = h.ilo - 1;
    h.xa = first_of(h.x), h.xb = first_of(lane_at(h.x, 7)), h.dxa = first_of(h.dx), h.dxb = first_of(lane_at(h.dx, 7));
    h.ya = first_of(h.y), h.yb = first_of(lane_at(h.y, 7)), h.dya = first_of(h.dy), h.dyb = first_of(lane_at(h.dy, 7));
    return h;
}

/* Adds the eight lanes' weights to plane k; 0 where the half does not fit a window and nothing was done. */
V512 static inline int spread_half(const march_t *p, const half_t *h, float *plane, float t, __m512 weight) {
    const float xa = fmaf(t, h->dxa, h->xa), xb = fmaf(t, h->dxb, h->xb), ya = fmaf(t, h->dya, h->ya), yb = fmaf(t, h->dyb, h->yb);
    const int32_t i0 = (int32_t)fminf(xa, xb), span = (int32_t)fmaxf(xa, xb) - i0;
    const int32_t j0 = (int32_t)fminf(ya, yb), rows = (int32_t)fmaxf(ya, yb) - j0;
    if (span > 13 || rows >= MAXROWS || i0 < 0 || j0 < 0 || j0 + rows + 1 >= p->nb) return 0;
    const __m512 tt = _mm512_set1_ps(t), one = _mm512_set1_ps(1), zero = _mm512_setzero_ps();
    const __m512 iota = _mm512_set_ps(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512 dy = _mm512_sub_ps(_mm512_fmadd_ps(tt, h->dy, h->y), _mm512_set1_ps(j0));
    float at[16] __attribute__((aligned(64))), share[MAXROWS + 1][16] __attribute__((aligned(64)));
    _mm512_store_ps(at, _mm512_sub_ps(_mm512_fmadd_ps(tt, h->dx, h->x), _mm512_set1_ps(i0)));
    for (int j = 0; j < rows + 2; j++) {
        const __m512 hat = _mm512_max_ps(zero, _mm512_sub_ps(one, _mm512_abs_ps(_mm512_sub_ps(dy, _mm512_set1_ps(j)))));
        _mm512_store_ps(share[j], _mm512_mul_ps(weight, hat));
    }
    __m512 hats[8];
    for (int e = 0; e < 8; e++) hats[e] = _mm512_max_ps(zero, _mm512_sub_ps(one, _mm512_abs_ps(_mm512_sub_ps(iota, _mm512_set1_ps(at[e])))));
    const int32_t left = p->na - i0;
    const __mmask16 mask = left >= 16 ? 0xffff : (__mmask16)((1u << left) - 1); /* the row's end: beyond lies another thread's plane */
    float *row = plane + j0 * p->sb + i0;
    for (int j = 0; j < rows + 2; j++, row += p->sb) {
        __m512 window = _mm512_maskz_loadu_ps(mask, row), other = zero; /* two sums: half the latency */
        for (int e = 0; e < 8; e += 2) {
            window = _mm512_fmadd_ps(hats[e], _mm512_set1_ps(share[j][e]), window);
            other = _mm512_fmadd_ps(hats[e + 1], _mm512_set1_ps(share[j][e + 1]), other);
        }
        _mm512_mask_storeu_ps(row, mask, _mm512_add_ps(window, other));
    }
    return 1;
}

/* The edge and the odd half, lane by lane. */
static inline void spread_singly(const march_t *p, const bundle_t *b, int first, int count, float *plane, float t, const float *weight) {
    edge_t q;
    for (int e = first; e < first + count && e < b->live; e++)
        if (edge(p, b, e, t, &q))
            for (int n = 0; n < 4; n++) plane[q.at[n]] += weight[e] * q.w[n];
}

V512 static void spread_group(const march_t *p, float *volume, int64_t pixel, int live, const float *weights, int32_t k0, int32_t k1) {
    group_t g;
    open_group(p, pixel, live, &g);
    if (g.lo > k1 || g.hi < k0) return;
    const int count = live < 16 ? live : 16;
    bundle_t b = {.live = count};
    _mm512_storeu_ps(b.x, g.x), _mm512_storeu_ps(b.dx, g.dx), _mm512_storeu_ps(b.y, g.y), _mm512_storeu_ps(b.dy, g.dy);
    float weight[16] = {0};
    memcpy(weight, weights, count * sizeof(float));
    const __m512 all = _mm512_loadu_ps(weight);
    for (int first = 0; first < count; first += 8) {
        const half_t h = half_of(p, &g, first);
        const __m512 mine = spread_lanes(all, first);
        for (int32_t k = k0 > g.lo ? k0 : g.lo; k <= k1 && k <= g.hi; k++) {
            float *plane = volume + k * p->sm;
            const float t = k - p->k_mid;
            if (!(k >= h.ilo && k <= h.ihi && spread_half(p, &h, plane, t, mine))) spread_singly(p, &b, first, 8, plane, t, weight);
        }
    }
}

int spondyl_has_avx512(void) {
    __builtin_cpu_init();
    return !spondyl_portable && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#else
int spondyl_has_avx512(void) { return 0; }
#endif

/* The derivative by the volume. A job owns PLANES planes of one channel, so no two threads write one voxel. */
void spondyl_spread(const march_t *p) {
    const int64_t n = (int64_t)p->h * p->w;
    const int32_t slabs = (p->nm + PLANES - 1) / PLANES;
#ifdef V512
    const int wide = spondyl_has_avx512();
#endif
    for (int32_t job; (job = take(p->next)) < slabs * p->channels;) {
        const int32_t c = job / slabs, k0 = job % slabs * PLANES, k1 = k0 + PLANES < p->nm ? k0 + PLANES : p->nm;
        float *volume = p->spread + c * p->channel_stride;
        const float *weight = p->weight + c * n;
        for (int32_t j = 0; j < p->nb; j++)
            for (int32_t k = k0; k < k1; k++) memset(volume + k * p->sm + j * p->sb, 0, p->na * sizeof(float));
#ifdef V512
        if (wide) {
            for (int32_t r = 0; r < p->h; r++)
                for (int32_t u = 0; u < p->w; u += 16) spread_group(p, volume, (int64_t)r * p->w + u, p->w - u, weight + (int64_t)r * p->w + u, k0, k1 - 1);
            continue;
        }
#endif
        spread_portable(p, volume, weight, k0, k1 - 1);
    }
}

void spondyl_march(const march_t *p) {
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
    if (p->channels <= MAXC && spondyl_has_avx512()) {
        march_avx512(p);
        return;
    }
#endif
    spondyl_march_portable(p);
}
