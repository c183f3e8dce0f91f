# R-squared and F of linear models, from summary(lm(...)). Run from the root of the repository:
#   Rscript tests/reference/make_lm.R
# y - offset stands where the model has an offset: R 4.2 counts the offset among the explained sum of squares, and then
# F tests no hypothesis; `lm_with_offset` keeps what it says.

library(jsonlite)
set.seed(20)
n <- 40
data <- data.frame(x = round(rnorm(n), 3), z = round(runif(n), 3), f = rep(c("a", "b", "c", "d"), n / 4),
                   w = round(runif(n, 0.5, 3), 3), k = rep(1:3, length.out = n), o = round(rnorm(n, sd = 2), 3))
data$y <- round(2 + 0.8 * data$x - data$z + (data$f == "c") + rnorm(n), 3)

figures <- function(fit) {
  s <- summary(fit)
  f <- unname(s$fstatistic)
  list(rsquared = s$r.squared, rsquared_adj = s$adj.r.squared, sigma = s$sigma,
       fvalue = if (is.null(f)) NA else f[1], df_model = if (is.null(f)) 0 else f[2], df_resid = s$df[2],
       f_pvalue = if (is.null(f)) NA else pf(f[1], f[2], f[3], lower.tail = FALSE))
}
case <- function(formula, fit, ...) c(list(formula = formula), list(...), list(expect = figures(fit)))
repeated <- data[rep(seq_len(n), data$k), ]
cases <- list(
  plain = case("y ~ x + z + f", lm(y ~ x + z + f, data)),
  weighted = case("y ~ x + z", lm(y ~ x + z, data, weights = w), var_weights = "w"),
  `no intercept` = case("y ~ x + z - 1", lm(y ~ x + z - 1, data)),
  `weighted, no intercept` = case("y ~ x + z - 1", lm(y ~ x + z - 1, data, weights = w), var_weights = "w"),
  `factor instead of intercept` = case("y ~ f - 1", lm(y ~ f - 1, data)),
  `intercept only` = case("y ~ 1", lm(y ~ 1, data)),
  repeated = case("y ~ x + z", lm(y ~ x + z, repeated), freq_weights = "k"),
  offset = c(case("y ~ x + z", lm(y - o ~ x + z, data), offset = "o"),
             list(lm_with_offset = figures(lm(y ~ x + z, data, offset = o)))),
  `offset, weighted, no intercept` = case("y ~ x - 1", lm(y - o ~ x - 1, data, weights = w), offset = "o",
                                          var_weights = "w")
)
write_json(list(r_version = R.version.string, data = as.list(data), cases = cases),
           "tests/reference/lm/least_squares.json", digits = NA, auto_unbox = TRUE, na = "null", pretty = TRUE)
