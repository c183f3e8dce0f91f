# Profile likelihood limits by root finding on constrained fits. Run from the root of the repository:
#   Rscript tests/reference/make_profile.R
# A limit of coefficient j is a root of  deviance(b) - deviance - dispersion * q^2,  with deviance(b) that of glm.fit
# with b times column j as an offset. q is the normal quantile ("z") and, where the dispersion is estimated, also Student's
# ("t"). `mass` has what confint() of MASS gives: by splines, and with the normal quantile whatever the family.
# The negative binomial is estimated anew at every b, theta included; alpha = 1 / theta is profiled too.

suppressPackageStartupMessages({library(MASS); library(jsonlite)})
tight <- glm.control(epsilon = 1e-14, maxit = 200)
read <- function(file) read.csv(file.path("tests/reference", file), stringsAsFactors = TRUE)

root <- function(f, at, step) uniroot(f, sort(c(at, at + step)), extendInt = "yes", tol = 1e-13, maxiter = 500)$root

limits <- function(fit, q) {
  x <- model.matrix(fit); y <- fit$y; w <- fit$prior.weights; b <- coef(fit); s <- summary(fit)
  offset <- if (is.null(fit$offset)) rep(0, length(y)) else fit$offset
  t(sapply(seq_along(b), function(j) sapply(c(-1, 1), function(side) {
    rise <- function(at) glm.fit(x[, -j, drop = FALSE], y, w, offset = offset + at * x[, j], family = fit$family,
                                 control = tight, etastart = fit$linear.predictors)$deviance -
      deviance(fit) - s$dispersion * q^2
    root(rise, b[j] + side * 0.8 * q * s$coefficients[j, 2], side * 0.4 * q * s$coefficients[j, 2])
  })))
}

case <- function(data, formula, formula_py, fam, fit, ...) {
  known <- fam$family %in% c("binomial", "poisson")
  out <- list(data = data, formula = formula, formula_py = formula_py, ..., names = names(coef(fit)), coef = unname(coef(fit)),
              z = limits(fit, qnorm(0.975)), mass = unname(suppressMessages(confint(fit))))
  if (!known) out$t <- limits(fit, qt(0.975, fit$df.residual))
  cat(formula, "\n")
  out
}

one <- function(file, formula, py, family, ..., keys = list()) {
  data <- read(file)
  fit <- do.call(glm, list(as.formula(formula), family, data, control = tight, ...))
  do.call(case, c(list(file, formula, py, family, fit), keys))
}

nb <- function(file, formula, py) {
  data <- read(file)
  fit <- glm.nb(as.formula(formula), data, control = tight)
  x <- model.matrix(fit); y <- fit$y; q2 <- qnorm(0.975)^2
  loglik <- function(log_theta, z, off) {
    theta <- exp(log_theta)
    mu <- glm.fit(z, y, offset = off, family = negative.binomial(theta), control = tight,
                  etastart = fit$linear.predictors)$fitted.values
    sum(dnbinom(y, size = theta, mu = mu, log = TRUE))
  }
  best <- function(z, off) optimize(loglik, log(fit$theta) + c(-2, 2), z = z, off = off, maximum = TRUE, tol = 1e-9)$objective
  top <- best(x, 0 * y); b <- coef(fit); se <- summary(fit)$coefficients[, 2]
  beta <- t(sapply(seq_along(b), function(j) sapply(c(-1, 1), function(side)
    root(function(at) 2 * (top - best(x[, -j, drop = FALSE], at * x[, j])) - q2,
         b[j] + side * 1.5 * se[j], side * se[j]))))
  log_theta <- sapply(c(1, -1), function(side)
    root(function(at) 2 * (top - loglik(at, x, 0 * y)) - q2, log(fit$theta) + side * 0.1, side * 0.3))
  cat(formula, "\n")
  list(data = file, formula = formula, formula_py = py, family = "negative_binomial", link = "log", names = c(names(b), "alpha"),
       coef = c(unname(b), 1 / fit$theta), z = rbind(beta, exp(-log_theta)), mass = unname(suppressMessages(confint(fit))))
}

small <- function(name) file.path("shared/data", name)
cases <- list(
  logit = one(small("womensrole.csv"), "cbind(agree, disagree) ~ sex * education", "cbind(agree, disagree) ~ sex * education",
              binomial(), keys = list(family = "binomial", link = "logit")),
  probit = one(small("swisslabor.csv"), "works ~ income + age + education + youngkids + foreign",
               "works ~ income + age + education + youngkids + foreign", binomial("probit"),
               keys = list(family = "binomial", link = "probit")),
  cloglog = one(small("snails.csv"), "cbind(dead, alive) ~ Species + temp + humidity + offset(log_exposure)",
                "cbind(dead, alive) ~ Species + temp + humidity + offset(log_exposure)", binomial("cloglog"),
                keys = list(family = "binomial", link = "cloglog")),
  poisson = one(small("ships.csv"), "incidents ~ type + period + offset(log_service)",
                "incidents ~ type + period + offset(log_service)", poisson(), keys = list(family = "poisson", link = "log")),
  quasipoisson = one("r/data/quine.csv", "Days ~ Sex + Age", "Days ~ Sex + Age", quasipoisson(),
                     keys = list(family = "quasipoisson", link = "log")),
  gamma_log = one(small("wage1.csv"), "wage ~ educ + exper + tenure", "wage ~ educ + exper + tenure", Gamma("log"),
                  keys = list(family = "gamma", link = "log")),
  gamma_inverse = one(small("trees.csv"), "Volume ~ log(Girth) + log(Height)", "Volume ~ log(Girth) + log(Height)", Gamma(),
                      keys = list(family = "gamma", link = "inverse")),
  inverse_gaussian = one(small("trees.csv"), "Volume ~ log(Girth) + log(Height)", "Volume ~ log(Girth) + log(Height)",
                         inverse.gaussian("log"), keys = list(family = "inverse_gaussian", link = "log")),
  gaussian_weights = one(small("caschools.csv"), "read ~ str + english + lunch", "read ~ str + english + lunch", gaussian(),
                         weights = quote(students),
                         keys = list(family = "gaussian", link = "identity", var_weights = "students")),
  gaussian_log = one(small("caschools.csv"), "read ~ str + english", "read ~ str + english", gaussian("log"),
                     weights = quote(students), keys = list(family = "gaussian", link = "log", var_weights = "students")),
  negative_binomial = nb("r/data/quine.csv", "Days ~ Sex + Lrn + Age", "Days ~ Sex + Lrn + Age")
)

# Estimates at infinity: the rise is above the limit of the deviance that the case files hold. A limit is infinite where
# the rise is below the target out to 25 (probit: 15), where every separated row is certain and R still tells it from one that is not quite.
# glm.fit loses its way where fitted values are certain; Fisher steps that are halved until the deviance falls do not.
least <- function(z, y, offset, family) {
  deviance <- function(b) {
    d <- sum(family$dev.resids(y, family$linkinv(offset + drop(z %*% b)), rep(1, length(y))))
    if (is.finite(d)) d else Inf
  }
  best <- rep(0, ncol(z))
  best[1] <- -mean(offset)
  now <- deviance(best)
  for (turn in 1:200) {
    eta <- offset + drop(z %*% best)
    mu <- family$linkinv(eta); slope <- family$mu.eta(eta); w <- slope / family$variance(mu)
    score <- drop(crossprod(z, w * (y - mu)))
    step <- drop(ginv(crossprod(z, w * slope * z), tol = 1e-13) %*% score)
    size <- 1
    while (size > 1e-9 && deviance(best + size * step) > now) size <- size / 2
    if (size <= 1e-9 || sum(score * step) < 1e-13) break
    best <- best + size * step
    now <- deviance(best)
  }
  now
}
separated <- function(id) {
  known <- fromJSON(file.path("tests/reference/r/cases", paste0(id, ".json")))
  data <- read("r/data/odd.csv")
  x <- model.matrix(as.formula(known$formula), data)
  y <- data[[known$response$column]]
  family <- if (known$family == "poisson") poisson() else binomial(known$link)
  found <- t(sapply(seq_len(ncol(x)), function(j) {
    rise <- Vectorize(function(at) least(x[, -j, drop = FALSE], y, at * x[, j], family) - known$expect$deviance - qchisq(0.95, 1))
    reach <- if (known$link == "probit") 15 else 25
    grid <- seq(-reach, reach, by = 0.5)
    at <- rise(grid)
    low <- range(which(at < 0))
    c(if (low[1] == 1) -Inf else uniroot(rise, grid[low[1] - 1:0], tol = 1e-13)$root,
      if (low[2] == length(grid)) Inf else uniroot(rise, grid[low[2] + 0:1], tol = 1e-13)$root)
  }))
  cat(id, "\n")
  infinite <- is.infinite(found)
  list(data = "r/data/odd.csv", formula_py = paste(known$response$column, "~", known$formula_py), family = known$family,
       link = known$link, names = colnames(x), z = ifelse(infinite, NA, found), infinite = infinite)
}
apart <- sapply(c("separation_complete", "separation_dummy", "separation_poisson_level", "separation_poisson_cell",
                  "separation_probit_dummy", "separation_tie"), separated, simplify = FALSE)
write_json(list(r_version = R.version.string, cases = cases, separated = apart), "tests/reference/inference/profile/cases.json", digits = NA,
           auto_unbox = TRUE, pretty = TRUE, na = "null")
