# Influence measures of R and, by hand, the figures of res.diagnose(). Run from the root of the repository:
#   Rscript tests/reference/make_influence.R
# The data are those of the other references. Fits end at the floor of double precision.

suppressPackageStartupMessages({
  library(MASS)
  library(car)
  library(jsonlite)
})
options(warn = 1)

small <- read.csv("tests/reference/r/data/small.csv", stringsAsFactors = TRUE)
quine <- read.csv("tests/reference/r/data/quine.csv", stringsAsFactors = TRUE)
snails <- read.csv("tests/reference/shared/data/snails.csv", stringsAsFactors = TRUE)
swiss <- read.csv("tests/reference/shared/data/swisslabor.csv", stringsAsFactors = TRUE)
tight <- glm.control(epsilon = 1e-14, maxit = 100)
fitted_by <- function(formula, family, data, ...) {
  frame <- parent.frame()
  start <- coef(eval(substitute(glm(formula, family, data, control = tight, ...)), frame))
  # glm() stops by the deviance, and the factor that influence() reads is that of the weights before the last step.
  for (i in 1:15) {
    fit <- eval(substitute(glm(formula, family, data, control = tight, start = start, ...)),
                c(list(start = start), as.list(frame)))
    start <- coef(fit)
  }
  fit
}

# ---- influence --------------------------------------------------------------------------------------------------------

rows_of <- function(n) unique(c(1:8, round(seq(9, n, length.out = 8))))

influence_of <- function(fit) {
  infl <- influence(fit)
  measures <- influence.measures(fit, infl)$infmat
  rows <- sort(unique(c(rows_of(length(infl$hat)), which(infl$hat > 0.999))))
  pick <- function(x) unname(x[rows])
  list(rows = rows - 1, hat = pick(hatvalues(fit)), cooks_distance = pick(cooks.distance(fit)),
       resid_studentized = pick(rstudent(fit)), resid_standardized = pick(rstandard(fit)),
       resid_standardized_pearson = pick(rstandard(fit, type = "pearson")), dffits = pick(dffits(fit)),
       covariance_ratio = pick(measures[, "cov.r"]), dfbetas = unname(dfbetas(fit)[rows, , drop = FALSE]))
}
case <- function(data, py, fit, family, ...) {
  list(data = data, formula = py, family = family, options = list(...), expect = influence_of(fit))
}
terms <- "x1 + x2 + f"
with_terms <- function(y) as.formula(paste(y, "~", terms))
plain <- function(y, family, name, ..., formula = with_terms(y)) {
  case("small", paste(deparse(formula), collapse = ""), fitted_by(formula, family, small), name, ...)
}
nb <- glm.nb(Days ~ Eth + Sex + Age + Lrn, quine, control = glm.control(epsilon = 1e-14, maxit = 200))
# The loop of glm.nb stops early in theta: take its score to zero.
theta <- nb$theta
for (i in 1:8) {
  mu <- fitted(fitted_by(Days ~ Eth + Sex + Age + Lrn, negative.binomial(theta), quine))
  y <- quine$Days
  score <- sum(digamma(theta + y) - digamma(theta) + log(theta) + 1 - log(theta + mu) - (y + theta) / (mu + theta))
  bend <- sum(trigamma(theta + y) - trigamma(theta) + 1 / theta - 2 / (mu + theta) + (y + theta) / (mu + theta)^2)
  theta <- theta - score / bend
}
nb <- fitted_by(Days ~ Eth + Sex + Age + Lrn, negative.binomial(theta), quine)
class(nb) <- c("negbin", class(nb))
nb$theta <- theta
cases <- list(
  logit = plain("yes", binomial("logit"), "binomial"),
  probit = plain("yes", binomial("probit"), "binomial", link = "probit"),
  cloglog = plain("yes", binomial("cloglog"), "binomial", link = "cloglog"),
  `binomial counts` = case("snails", "cbind(dead, alive) ~ Species + exposure + humidity + temp",
                           fitted_by(cbind(dead, alive) ~ Species + exposure + humidity + temp, binomial, snails), "binomial"),
  `poisson with offset` = case("small", "count ~ x1 + x2 + f",
                               fitted_by(count ~ x1 + x2 + f, poisson, small, offset = log_expo), "poisson", offset = "log_expo"),
  `poisson weighted` = case("small", "count ~ x1 + x2 + f",
                            suppressWarnings(fitted_by(count ~ x1 + x2 + f, poisson, small, weights = w, subset = w > 0)), "poisson",
                            var_weights = "w"),
  quasipoisson = plain("count", quasipoisson, "quasipoisson"),
  quasibinomial = case("snails", "cbind(dead, alive) ~ Species + exposure + humidity + temp",
                       fitted_by(cbind(dead, alive) ~ Species + exposure + humidity + temp, quasibinomial, snails),
                       "quasibinomial"),
  `gamma log` = plain("cost", Gamma("log"), "gamma", link = "log"),
  `gamma inverse` = plain("cost", Gamma("inverse"), "gamma", link = "inverse"),
  `inverse gaussian` = plain("time", inverse.gaussian("log"), "inverse_gaussian", link = "log"),
  `gaussian weighted` = case("small", "level ~ x1 + x2 + f", fitted_by(level ~ x1 + x2 + f, gaussian, small, weights = w, subset = w > 0),
                             "gaussian", var_weights = "w"),
  `negative binomial` = case("quine", "Days ~ Eth + Sex + Age + Lrn", nb, "negative_binomial"),
  `one row alone` = case("small", "level ~ x1 + I(1 * (x1 > 0.98))",
                         fitted_by(level ~ x1 + I(1 * (x1 > 0.98)), gaussian, small), "gaussian")
)
stopifnot(sum(small$x1 > 0.98) == 1)

# ---- checks -----------------------------------------------------------------------------------------------------------

tail_p <- function(x, df) pchisq(x, df, lower.tail = FALSE)

# Pearson chi-squared against a scaled chi-squared with its mean and variance (derivation in the checks' docstring).
dispersion_of <- function(fit, variance, slope, bend) {
  x <- model.matrix(fit); mu <- fitted(fit); n <- length(mu)
  v <- variance(mu); gmu <- fit$family$mu.eta(fit$linear.predictors)
  b <- t(x) %*% (slope(mu) / v * gmu)
  info <- t(x) %*% (fit$weights * x)
  spread <- sum(2 + slope(mu)^2 / v + bend(mu)) - drop(t(b) %*% solve(info, b))
  df <- df.residual(fit)
  spread <- spread * df / n
  chi <- sum(residuals(fit, "pearson")^2)
  g <- spread / (2 * df); h <- 2 * df^2 / spread
  list(ratio = chi / df, over = tail_p(chi / g, h), under = pchisq(chi / g, h), plain = tail_p(chi, df))
}
# Zeros against their expectation, with the variance that is left after estimation.
zeros_of <- function(fit, p0, slope) {
  x <- model.matrix(fit); eta <- fit$linear.predictors
  b <- t(x) %*% slope(eta)
  info <- t(x) %*% (fit$weights * x)
  p <- p0(eta)
  z <- (sum(fit$y == 0) - sum(p)) / sqrt(sum(p * (1 - p)) - drop(t(b) %*% solve(info, b)))
  list(observed = sum(fit$y == 0), expected = sum(p), z = z, p = 2 * pnorm(-abs(z)))
}
# Score test of one more column, the dispersion at the fit without it.
score_of <- function(fit, z, phi) {
  x <- model.matrix(fit); w <- fit$weights; r <- residuals(fit, "working")
  zr <- lm.wfit(x, z, w)$residuals
  u <- sum(w * zr * r)
  chi <- u^2 / sum(w * zr^2) / phi
  list(statistic = chi)
}
link_of <- function(fit) {
  eta <- fit$linear.predictors
  score_of(fit, eta^2, summary(fit)$dispersion)
}
hosmer_of <- function(fit, g = 10) {
  yhat <- fitted(fit); y <- fit$y
  qq <- unique(quantile(yhat, probs = seq(0, 1, 1 / g)))
  cut <- cut(yhat, breaks = qq, include.lowest = TRUE)
  observed <- xtabs(cbind(1 - y, y) ~ cut)
  expected <- xtabs(cbind(1 - yhat, yhat) ~ cut)
  chi <- sum((observed - expected)^2 / expected)
  list(statistic = chi, df = nrow(observed) - 2, p = tail_p(chi, nrow(observed) - 2))
}
vif_of <- function(fit) {
  v <- vif(fit)
  if (is.matrix(v)) list(terms = rownames(v), gvif = unname(v[, 1]), df = unname(v[, 2]), adjusted = unname(v[, 3]))
  else list(terms = names(v), gvif = unname(v), df = rep(1, length(v)), adjusted = unname(sqrt(v)))
}

poisson_fit <- fitted_by(count ~ x1 + x2 + f, poisson, small)
sqrt_fit <- fitted_by(count ~ x1 + x2 + f, poisson("sqrt"), small)
quine_fit <- fitted_by(Days ~ Eth + Sex + Age + Lrn, poisson, quine)
logit_fit <- fitted_by(works ~ income + age + education + youngkids + oldkids + foreign, binomial, swiss)
snails_fit <- fitted_by(cbind(dead, alive) ~ Species + exposure + humidity + temp, binomial, snails)
gamma_fit <- fitted_by(cost ~ x1 + x2 + f, Gamma("log"), small)
trials <- snails$dead + snails$alive
one <- function(mu) rep(1, length(mu)); none <- function(mu) rep(0, length(mu))
numeric <- function(fit, data, columns) {
  phi <- summary(fit)$dispersion
  sapply(columns, function(name) score_of(fit, (data[[name]] - mean(data[[name]]))^2, phi)$statistic)
}
checks <- list(
  list(data = "small", formula = "count ~ x1 + x2 + f", family = "poisson",
       dispersion = dispersion_of(poisson_fit, identity, one, none),
       zeros = zeros_of(poisson_fit, function(e) exp(-exp(e)), function(e) -exp(-exp(e)) * exp(e)),
       link = link_of(poisson_fit), vif = vif_of(poisson_fit), curvature = numeric(poisson_fit, small, c("x1", "x2"))),
  list(data = "small", formula = "count ~ x1 + x2 + f", family = "poisson", link_name = "sqrt",
       dispersion = dispersion_of(sqrt_fit, identity, one, none),
       zeros = zeros_of(sqrt_fit, function(e) exp(-e^2), function(e) -exp(-e^2) * 2 * e), link = link_of(sqrt_fit)),
  list(data = "quine", formula = "Days ~ Eth + Sex + Age + Lrn", family = "poisson",
       dispersion = dispersion_of(quine_fit, identity, one, none),
       zeros = zeros_of(quine_fit, function(e) exp(-exp(e)), function(e) -exp(-exp(e)) * exp(e)),
       link = link_of(quine_fit), vif = vif_of(quine_fit)),
  list(data = "swisslabor", formula = "works ~ income + age + education + youngkids + oldkids + foreign", family = "binomial",
       link = link_of(logit_fit), hosmer = hosmer_of(logit_fit), vif = vif_of(logit_fit),
       curvature = numeric(logit_fit, swiss, c("income", "age", "education", "youngkids", "oldkids"))),
  list(data = "snails", formula = "cbind(dead, alive) ~ Species + exposure + humidity + temp", family = "binomial",
       dispersion = dispersion_of(snails_fit, function(mu) mu * (1 - mu) / trials, function(mu) (1 - 2 * mu) / trials,
                                  function(mu) -2 / trials),
       link = link_of(snails_fit), vif = vif_of(snails_fit)),
  list(data = "small", formula = "cost ~ x1 + x2 + f", family = "gamma", link_name = "log", link = link_of(gamma_fit),
       vif = vif_of(gamma_fit), curvature = numeric(gamma_fit, small, c("x1", "x2")))
)
# The score tests by hand against R's.
check_rao <- function(fit, more) {
  rao <- anova(fit, more, test = "Rao")$Rao[2]
  stopifnot(abs(rao / link_of(fit)$statistic - 1) < 1e-6)
}
swiss$eta2 <- logit_fit$linear.predictors^2
check_rao(logit_fit, update(logit_fit, . ~ . + eta2, data = swiss, start = NULL))
small$eta2 <- poisson_fit$linear.predictors^2
check_rao(poisson_fit, update(poisson_fit, . ~ . + eta2, data = small, start = NULL))

write_json(list(r_version = R.version.string, influence = cases, checks = checks),
           "tests/reference/inference/influence/influence.json", digits = NA, auto_unbox = TRUE, na = "null", pretty = FALSE)
