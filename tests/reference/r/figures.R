# Fit a model to the floor of double precision and write down every figure of a reference case.

suppressPackageStartupMessages({
  library(MASS)
  library(splines)
  library(sandwich)
  library(statmod)
})

root <- "tests/reference/r"
software <- paste0(R.version.string, "; MASS ", packageVersion("MASS"), ", sandwich ", packageVersion("sandwich"),
                   ", statmod ", packageVersion("statmod"), ", splines ", packageVersion("splines"),
                   ", numDeriv ", packageVersion("numDeriv"))

# ---- JSON -------------------------------------------------------------------------------------------------------------
# list with names: object; list without names: array; a vector of length 1 is a scalar unless wrapped in I().

number <- function(x) {
  if (is.integer(x)) {
    text <- as.character(x)
  } else {
    text <- sprintf("%.15g", x)
    longer <- is.finite(x) & suppressWarnings(as.numeric(text)) != x
    text[longer] <- sprintf("%.17g", x[longer])
  }
  text[!is.finite(x)] <- "null"
  text
}

quoted <- function(x) ifelse(is.na(x), "null", encodeString(x, quote = "\""))

json <- function(x, depth = 0) {
  pad <- strrep(" ", depth + 1)
  end <- strrep(" ", depth)
  if (is.null(x)) return("null")
  if (is.list(x)) {
    if (length(x) == 0) return(if (is.null(names(x))) "[]" else "{}")
    parts <- vapply(x, json, "", depth = depth + 1)
    if (!is.null(names(x))) parts <- paste0(quoted(names(x)), ": ", parts)
    marks <- if (is.null(names(x))) c("[", "]") else c("{", "}")
    return(paste0(marks[1], "\n", paste0(pad, parts, collapse = ",\n"), "\n", end, marks[2]))
  }
  array <- inherits(x, "AsIs") || length(x) != 1
  x <- unclass(x)
  if (is.logical(x)) text <- ifelse(is.na(x), "null", ifelse(x, "true", "false"))
  else if (is.character(x)) text <- quoted(x)
  else text <- number(x)
  if (array) paste0("[", paste(text, collapse = ", "), "]") else text
}

write_case <- function(case) {
  path <- file.path(root, "cases", paste0(case$id, ".json"))
  text <- json(case)
  if (nchar(text) > 12000) stop(case$id, ": ", nchar(text), " characters")
  writeLines(text, path)
}

# ---- data -------------------------------------------------------------------------------------------------------------

# Numbers with at most 17 digits, read back before anything is fitted.
write_data <- function(frame, name) {
  frame[] <- lapply(frame, function(x) if (is.numeric(x)) number(x) else as.character(x))
  write.csv(frame, file.path(root, "data", paste0(name, ".csv")), row.names = FALSE, quote = FALSE)
}

read_data <- function(file, ordered = list()) {
  frame <- read.csv(file.path(root, file), stringsAsFactors = TRUE)
  for (name in names(ordered)) frame[[name]] <- factor(frame[[name]], levels = ordered[[name]], ordered = TRUE)
  frame
}

describe_columns <- function(frame, used) {
  describe <- function(x) {
    if (is.factor(x)) list(type = "factor", levels = I(levels(x)), ordered = is.ordered(x))
    else list(type = if (is.integer(x)) "integer" else "double")
  }
  lapply(frame[used], describe)
}

# ---- families and links -----------------------------------------------------------------------------------------------

# First derivative of the variance function and second derivative of the inverse link, written out.
variance_slope <- function(family) {
  switch(family$reference$variance,
         binomial = function(mu) 1 - 2 * mu,
         constant = function(mu) 0 * mu,
         mu = function(mu) 1 + 0 * mu,
         mu2 = function(mu) 2 * mu,
         mu3 = function(mu) 3 * mu^2,
         nb = function(mu) 1 + 2 * mu / family$reference$theta,
         tweedie = function(mu) family$reference$power * mu^(family$reference$power - 1))
}

link_curve <- function(link, power) {
  switch(link,
         identity = function(eta) 0 * eta,
         log = function(eta) exp(eta),
         logit = function(eta) { p <- plogis(eta); p * (1 - p) * (1 - 2 * p) },
         probit = function(eta) -eta * dnorm(eta),
         cloglog = function(eta) exp(eta - exp(eta)) * (1 - exp(eta)),
         loglog = function(eta) exp(-eta - exp(-eta)) * (exp(-eta) - 1),
         cauchit = function(eta) -2 * eta / (pi * (1 + eta^2)^2),
         inverse = function(eta) 2 / eta^3,
         "1/mu^2" = function(eta) 0.75 * eta^-2.5,
         sqrt = function(eta) 2 + 0 * eta,
         power = function(eta) (1 / power) * (1 / power - 1) * eta^(1 / power - 2))
}

# Attach what the figures need to know: kind of variance, whether the dispersion is known, whether the link is canonical.
describe_family <- function(family, variance, link = family$link, known = FALSE, canonical = FALSE, likelihood = TRUE, ...) {
  family$reference <- list(variance = variance, link = link, known = known, canonical = canonical,
                           likelihood = likelihood, ...)
  family
}

loglog_link <- structure(list(
  linkfun = function(mu) -log(-log(mu)), linkinv = function(eta) exp(-exp(-eta)),
  mu.eta = function(eta) exp(-eta - exp(-eta)), valideta = function(eta) TRUE, name = "loglog"), class = "link-glm")

fam <- function(name, link, ...) {
  maker <- switch(name, binomial = binomial, poisson = poisson, gaussian = gaussian, Gamma = Gamma,
                  inverse.gaussian = inverse.gaussian)
  variance <- switch(name, binomial = "binomial", poisson = "mu", gaussian = "constant", Gamma = "mu2", inverse.gaussian = "mu3")
  canonical <- switch(name, binomial = "logit", poisson = "log", gaussian = "identity", Gamma = "inverse",
                      inverse.gaussian = "1/mu^2")
  object <- if (link == "loglog") loglog_link
    else if (link == "power") power(list(...)$link_power)
    else make.link(link)
  describe_family(maker(link = object), variance, link, known = name %in% c("binomial", "poisson"),
                  canonical = link == canonical, ...)
}

# ---- the fit ----------------------------------------------------------------------------------------------------------

# Fisher steps on the score itself until they no longer shrink; the aliased columns stay as R's glm() found them.
polish <- function(fit, most = 3000) {
  x <- model.matrix(fit)[, !is.na(coef(fit)), drop = FALSE]
  y <- fit$y
  w <- fit$prior.weights
  offset <- if (is.null(fit$offset)) rep(0, length(y)) else fit$offset
  family <- fit$family
  beta <- coef(fit)[!is.na(coef(fit))]
  valid <- function(b) {
    eta <- drop(x %*% b) + offset
    family$valideta(eta) && family$validmu(family$linkinv(eta))
  }
  best <- Inf
  stalled <- 0
  for (step in seq_len(most)) {
    eta <- drop(x %*% beta) + offset
    mu <- family$linkinv(eta)
    slope <- family$mu.eta(eta)
    root_w <- sqrt(w * slope^2 / family$variance(mu))
    decomposition <- qr(x * root_w, tol = 1e-16)
    move <- qr.coef(decomposition, root_w * (y - mu) / slope)
    spread <- if (family$reference$known) 1 else sqrt(sum((root_w * (y - mu) / slope)^2) / fit$df.residual)
    size <- sqrt(sum((qr.R(decomposition) %*% move[decomposition$pivot])^2)) / spread
    if (!is.finite(size)) stop("step ", step, " of the polishing is not finite")
    if (size < best) { best <- size; kept <- beta; stalled <- 0 } else stalled <- stalled + 1
    if (stalled >= 5) break
    while (!valid(beta + move)) move <- move / 2
    beta <- beta + move
  }
  if (best > 1e-11) stop("the last step is still ", best)
  rebuild(fit, kept, best)
}

# The glm object at the given coefficients, so that R's own methods work on it.
rebuild <- function(fit, beta, last_step = NA) {
  x <- model.matrix(fit)
  kept <- !is.na(coef(fit))
  family <- fit$family
  y <- fit$y
  w <- fit$prior.weights
  offset <- if (is.null(fit$offset)) rep(0, length(y)) else fit$offset
  fit$coefficients[kept] <- beta
  eta <- drop(x[, kept, drop = FALSE] %*% beta) + offset
  mu <- family$linkinv(eta)
  slope <- family$mu.eta(eta)
  fit$linear.predictors <- setNames(eta, names(fit$linear.predictors))
  fit$fitted.values <- setNames(mu, names(fit$fitted.values))
  fit$residuals <- setNames((y - mu) / slope, names(fit$residuals))
  fit$weights <- setNames(w * slope^2 / family$variance(mu), names(fit$weights))
  fit$qr <- qr(x * sqrt(fit$weights), tol = 1e-11)
  fit$R <- qr.R(fit$qr)
  stopifnot(fit$qr$rank == fit$rank, setequal(fit$qr$pivot[seq_len(fit$rank)], which(kept)))
  fit$effects <- qr.qty(fit$qr, sqrt(fit$weights) * fit$residuals)
  fit$deviance <- sum(family$dev.resids(y, mu, w))
  counts <- model.response(fit$model)
  n <- if (is.matrix(counts)) rowSums(counts) else rep(1, length(y))
  fit$aic <- suppressWarnings(family$aic(y, n, mu, w, fit$deviance)) + 2 * fit$rank
  fit$last_step <- last_step
  intercept <- attr(fit$terms, "intercept") > 0
  if (intercept && any(offset != 0)) {
    null <- glm.fit(cbind(rep(1, length(y))), if (is.matrix(counts)) counts / n else y, w, offset = offset, family = family,
                    mustart = mu, control = glm.control(epsilon = 1e-14, maxit = 200))
    fit$null.deviance <- null$deviance
  }
  fit
}

# Information of the estimable coefficients at dispersion 1: expected, and observed from the second derivatives.
information <- function(fit, observed) {
  x <- model.matrix(fit)[, !is.na(coef(fit)), drop = FALSE]
  if (!observed) return(crossprod(x * sqrt(fit$weights)))
  family <- fit$family
  eta <- fit$linear.predictors
  mu <- fit$fitted.values
  slope <- family$mu.eta(eta)
  curve <- link_curve(family$reference$link, family$reference$link_power)(eta)
  v <- family$variance(mu)
  w <- fit$weights - fit$prior.weights * (fit$y - mu) * (curve / v - slope^2 * variance_slope(family)(mu) / v^2)
  crossprod(x, x * w)
}

# The same from numerical differentiation of the score; only to guard the formulas above.
check_observed <- function(fit, analytic) {
  x <- model.matrix(fit)[, !is.na(coef(fit)), drop = FALSE]
  offset <- if (is.null(fit$offset)) 0 else fit$offset
  scale <- 1 / sqrt(diag(information(fit, FALSE)))
  score <- function(z) {
    eta <- drop(x %*% (coef(fit)[!is.na(coef(fit))] + z * scale)) + offset
    mu <- fit$family$linkinv(eta)
    drop(crossprod(x, fit$prior.weights * (fit$y - mu) * fit$family$mu.eta(eta) / fit$family$variance(mu)))
  }
  steps <- numDeriv::jacobian(score, rep(0, ncol(x)), method.args = list(d = 1e-3, eps = 1e-3))
  gap <- max(abs(-steps * outer(scale, rep(1, ncol(x))) - analytic * outer(scale, scale)))
  if (gap > 1e-7) stop("observed information disagrees with numerical differentiation by ", gap)
}

robust <- function(fit, check) {
  kept <- !is.na(coef(fit))
  x <- model.matrix(fit)[, kept, drop = FALSE]
  bread <- solve_spd(information(fit, FALSE))
  score <- fit$weights * fit$residuals
  hat <- hatvalues(fit)
  n <- nrow(x)
  k <- ncol(x)
  meat <- list(HC0 = score^2, HC1 = score^2 * n / (n - k), HC2 = score^2 / (1 - hat), HC3 = score^2 / (1 - hat)^2)
  ses <- lapply(meat, function(m) sqrt(diag(bread %*% crossprod(x * sqrt(m)) %*% bread)))
  if (check && all(kept)) for (type in names(ses)) {
    other <- sqrt(diag(vcovHC(fit, type = type)))
    if (max(abs(other / ses[[type]] - 1)) > 1e-8) stop(type, " disagrees with sandwich")
  }
  lapply(ses, spread, kept = kept)
}

# Inverse of a positive definite matrix whose columns may differ much in scale.
solve_spd <- function(a) {
  scale <- 1 / sqrt(diag(a))
  chol2inv(chol(a * outer(scale, scale))) * outer(scale, scale)
}

# Put values of the estimable coefficients among all, NA where aliased.
spread <- function(values, kept) {
  all <- rep(NA_real_, length(kept))
  all[kept] <- values
  I(all)
}

# ---- the figures ------------------------------------------------------------------------------------------------------

figures <- function(fit, newdata, rows, known, check_robust = TRUE) {
  family <- fit$family
  facts <- family$reference
  kept <- !is.na(coef(fit))
  n <- length(fit$y)
  pearson <- sum(fit$weights * fit$residuals^2)
  dispersion <- if (known) 1 else pearson / fit$df.residual
  beta <- coef(fit)
  se <- spread(sqrt(dispersion * diag(chol2inv(fit$qr$qr[seq_len(fit$rank), seq_len(fit$rank), drop = FALSE])))[
    order(fit$qr$pivot[seq_len(fit$rank)])], kept)
  z <- beta / se
  p <- if (known) 2 * pnorm(-abs(z)) else 2 * pt(-abs(z), fit$df.residual)
  first <- function(x) I(unname(x[rows]))
  out <- list(
    coef_names = I(names(beta)), coef = I(unname(beta)), se = se, statistic = I(unname(z)),
    statistic_kind = if (known) "z" else "t", p_values = I(unname(p)), rank = fit$rank, dispersion = dispersion,
    pearson_chi2 = pearson, deviance = fit$deviance, null_deviance = fit$null.deviance,
    df_residual = fit$df.residual, df_null = fit$df.null, nobs = n)
  if (facts$likelihood) {
    size <- fit$rank + !known
    loglik <- size - fit$aic / 2
    out <- c(out, list(loglik = loglik, loglik_df = size, aic = fit$aic, bic = -2 * loglik + log(n) * size))
    if (facts$variance != "nb") stopifnot(isTRUE(all.equal(as.numeric(logLik(fit)), loglik, tolerance = 1e-13)))
  } else out <- c(out, list(loglik = NA_real_, loglik_df = NA_real_, aic = NA_real_, bic = NA_real_))
  out <- c(out, list(
    converged = TRUE, boundary = fit$boundary,
    fitted = first(fit$fitted.values), linear_predictor = first(fit$linear.predictors),
    residuals = lapply(c(deviance = "deviance", pearson = "pearson", working = "working", response = "response"),
                       function(type) first(residuals(fit, type = type))),
    hat = first(hatvalues(fit)), cooks_distance = first(cooks.distance(fit, dispersion = dispersion)),
    std_deviance_residuals = first(residuals(fit, "deviance") / sqrt(dispersion * (1 - hatvalues(fit)))),
    std_pearson_residuals = first(residuals(fit, "pearson") / sqrt(dispersion * (1 - hatvalues(fit))))))
  if (!facts$canonical) {
    observed <- information(fit, TRUE)
    check_observed(fit, observed)
    out$se_observed_information <- spread(sqrt(dispersion * diag(solve_spd(observed))), kept)
  }
  out$robust_se <- robust(fit, check_robust)
  out$predict <- predictions(fit, newdata, dispersion)
  out
}

predictions <- function(fit, newdata, dispersion) {
  take <- function(type) suppressWarnings(predict(fit, newdata, type = type, se.fit = TRUE, dispersion = dispersion))
  link <- take("link")
  response <- take("response")
  records <- lapply(seq_len(nrow(newdata)), function(i) lapply(newdata, function(x) if (is.factor(x)) as.character(x[i]) else x[i]))
  list(newdata = records, includes_offset = !is.null(fit$offset), link = I(unname(link$fit)), link_se = I(unname(link$se.fit)),
       response = I(unname(response$fit)), response_se = I(unname(response$se.fit)))
}

# Five rows made of values that occur in the data, each column shuffled on its own.
new_rows <- function(frame, columns, together) {
  n <- nrow(frame)
  at <- function(j) if (together) (11 * seq_len(5)) %% n + 1 else (7 * seq_len(5) + 13 * j) %% n + 1
  as.data.frame(lapply(setNames(seq_along(columns), columns), function(j) frame[[columns[j]]][at(j)]))
}

# ---- one case ---------------------------------------------------------------------------------------------------------

# `weights` names a column; `meaning` is "var_weights" (rows of weight 0 are dropped first) or "freq_weights" (rows are repeated).
# `trials` names the column of trials when the response is a proportion.
case <- function(id, title, formula, py, family, data, file, tests, weights = NULL, meaning = NULL, trials = NULL,
                 offset = NULL, params = NULL, known = family$reference$known, start = NULL, notes = NULL,
                 family_name = family$family, contrasts = NULL, ordered = NULL, source = "simulated", rows_together = FALSE,
                 change = function(expect, fit) expect, fitter = NULL) {
  formula <- as.formula(formula, env = globalenv())
  used_rows <- seq_len(nrow(data))
  frame <- data
  if (!is.null(weights)) {
    used_rows <- which(data[[weights]] > 0)
    if (meaning == "freq_weights") used_rows <- rep(used_rows, data[[weights]][used_rows])
    frame <- droplevels(data[used_rows, , drop = FALSE])
    rownames(frame) <- NULL
  }
  prior <- if (identical(meaning, "var_weights")) weights else trials
  heard <- character()
  call <- list(formula = formula, family = family, data = quote(frame), control = glm.control(maxit = 500))
  if (!is.null(prior)) call$weights <- as.name(prior)
  if (!is.null(offset)) call$offset <- as.name(offset)
  if (!is.null(start)) call$start <- start
  fit <- withCallingHandlers(if (is.null(fitter)) eval(as.call(c(quote(glm), call))) else fitter(frame),
                             warning = function(w) {
                               heard <<- c(heard, conditionMessage(w))
                               invokeRestart("muffleWarning")
                             })
  fit <- polish(fit)
  right <- all.vars(formula[[3]])
  left <- all.vars(formula[[2]])
  right <- intersect(if ("." %in% right) setdiff(names(data), left) else right, names(data))
  new <- new_rows(frame, unique(c(right, offset)), rows_together)
  rows <- match(unique(used_rows), used_rows)
  rows <- rows[seq_len(min(10, length(rows)))]
  expect <- figures(fit, new, rows, known)
  if (!is.null(weights)) expect$rows <- I(used_rows[rows] - 1L)
  expect <- change(expect, fit)
  response <- if (is.call(formula[[2]]) && formula[[2]][[1]] == "cbind")
    list(type = "binomial_counts", success = left[1], trials = NULL, failure = left[2])
  else if (!is.null(trials)) list(type = "proportion", column = left[1], trials = trials)
  else list(type = "column", column = left[1])
  dump_design(id, fit)
  write_case(list(
    schema = 1L, id = id, title = title, tests = I(tests), kind = "glm",
    data = list(file = file, n_rows = nrow(data), source = source,
                columns = describe_columns(data, unique(c(left, right, weights, trials, offset)))),
    formula = gsub("\\s+", " ", paste(deparse(formula, width.cutoff = 500), collapse = " ")), response = response,
    family = family_name, link = family$reference$link, formula_py = py, family_params = params,
    weights = if (is.null(weights)) NULL else list(column = weights, meaning = meaning),
    offset = if (is.null(offset)) NULL else list(column = offset, note = "added to the linear predictor; the formula text does not show it"),
    cluster = NULL, contrasts = contrasts, expect = expect, r_warnings = if (length(heard)) I(unique(heard)) else NULL,
    notes = notes, reference = list(software = software)))
  message(sprintf("%-42s rank %d, last step %.0e standard errors", id, fit$rank, fit$last_step))
  invisible(fit)
}

# Design, response, weights and offset as numbers, for an independent check of the coefficients (check_precision.py).
dump_design <- function(id, fit) {
  folder <- Sys.getenv("REFERENCE_DESIGN")
  if (folder == "") return(invisible())
  kept <- !is.na(coef(fit))
  offset <- if (is.null(fit$offset)) 0 else fit$offset
  out <- data.frame(y = fit$y, w = fit$prior.weights, offset = offset, model.matrix(fit)[, kept, drop = FALSE], check.names = FALSE)
  out[] <- lapply(out, number)
  write.csv(out, file.path(folder, paste0(id, ".csv")), row.names = FALSE)
}
