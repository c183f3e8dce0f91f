# Average effects and predictions by the delta method, and prediction intervals. Run from the root of the repository:
#   Rscript tests/reference/make_margins.R
# An average over rows of mu(x beta + offset) has the gradient mean(mu'(eta) x); a slope in a column is a central
# difference of fourth order of such averages (error about 1e-11), a contrast a plain one. emmeans is a second witness
# where its grid holds every column.

suppressMessages({library(jsonlite); library(MASS); library(emmeans)})
tight <- glm.control(epsilon = 1e-14, maxit = 100)
root <- "tests/reference/shared/data/"
read <- function(name, factors = character()) {
  d <- read.csv(paste0(root, name, ".csv"))
  for (f in factors) d[[f]] <- factor(d[[f]])
  d
}
as_levels <- function(d, old, value) if (is.factor(old)) factor(rep(value, nrow(d)), levels = levels(old)) else value
with_values <- function(d, values) {
  for (n in names(values)) d[[n]] <- as_levels(d, d[[n]], values[[n]])
  d
}

# Average of the outcome over the rows of d, and its gradient: c(estimate, gradient).
level <- function(fit, d, w, offset, link) {
  X <- model.matrix(delete.response(terms(fit)), d, xlev = fit$xlevels)
  eta <- drop(X %*% coef(fit)) + if (is.null(offset)) 0 else d[[offset]]
  if (link) return(c(weighted.mean(eta, w), colSums(w * X) / sum(w)))
  c(weighted.mean(fit$family$linkinv(eta), w), colSums(w * fit$family$mu.eta(eta) * X) / sum(w))
}
slope <- function(fit, d, w, offset, link, x, elastic = "dydx") {
  h <- 1e-3 * sd(d[[x]])
  move <- function(k) { d[[x]] <- d[[x]] + k * h; d }
  (level(fit, move(-2), w, offset, link) - 8 * level(fit, move(-1), w, offset, link) +
     8 * level(fit, move(1), w, offset, link) - level(fit, move(2), w, offset, link)) / (12 * h)
}
finish <- function(fit, rows) {
  known <- fit$family$family %in% c("binomial", "poisson") || inherits(fit, "negbin")
  df <- if (known) Inf else fit$df.residual
  V <- vcov(fit)
  out <- lapply(rows, function(r) {
    est <- r[1]; se <- sqrt(drop(t(r[-1]) %*% V %*% r[-1]))
    list(estimate = unname(est), std_error = se, p_value = 2 * pt(-abs(unname(est) / se), df),
         conf_low = unname(est) - qt(0.975, df) * se, conf_high = unname(est) + qt(0.975, df) * se)
  })
  do.call(rbind.data.frame, out)
}

cases <- list()
case <- function(id, fit, d, data, formula, options, offset = NULL, w = rep(1, nrow(d)), queries) {
  made <- lapply(queries, function(q) {
    at <- lapply(q$at, function(v) unlist(v))
    grid <- if (is.null(at) || !length(at)) list(list()) else {
      g <- expand.grid(rev(at), stringsAsFactors = FALSE)
      lapply(seq_len(nrow(g)), function(i) as.list(g[i, , drop = FALSE]))
    }
    link <- identical(q$scale, "link")
    groups <- if (is.null(q$by)) list(rep(TRUE, nrow(d))) else
      lapply(sort(unique(as.character(d[[q$by]]))), function(g) as.character(d[[q$by]]) == g)
    rows <- list()
    every <- if (q$what == "predictions") list(NULL) else as.list(q$variables)
    for (v in every) for (values in grid) {
      base <- with_values(d, values)
      parts <- lapply(groups, function(g) {
        b <- base[g, , drop = FALSE]; wg <- w[g]
        if (is.null(v)) return(list(level(fit, b, wg, offset, link)))
        if (is.factor(d[[v]]) || !is.null(q$values)) {
          lv <- if (is.null(q$values)) levels(d[[v]]) else unlist(q$values)
          at_level <- lapply(lv, function(l) level(fit, with_values(b, setNames(list(l), v)), wg, offset, link))
          n <- length(lv)
          pairs <- switch(if (is.null(q$reference)) "base" else q$reference,
            base = lapply(2:n, function(i) c(i, 1)), sequential = lapply(2:n, function(i) c(i, i - 1)),
            pairwise = do.call(c, lapply(2:n, function(i) lapply(seq_len(i - 1), function(j) c(i, j)))))
          return(lapply(pairs, function(p) at_level[[p[1]]] - at_level[[p[2]]]))
        }
        if (identical(q$kind, "contrast")) {
          up <- b; up[[v]] <- up[[v]] + 1
          return(list(level(fit, up, wg, offset, link) - level(fit, b, wg, offset, link)))
        }
        list(slope(fit, b, wg, offset, link, v))
      })
      rows <- c(rows, do.call(c, parts))
    }
    c(list(query = q), list(expect = finish(fit, rows)))
  })
  cases[[id]] <<- list(data = data, factors = as.list(names(Filter(is.factor, d))), formula = formula, options = options,
                       queries = made)
}
avg <- function(variables, ...) c(list(what = "margins", variables = as.list(variables)), list(...))
pred <- function(...) c(list(what = "predictions"), list(...))

d <- read("swisslabor", "foreign")
f <- works ~ income + age + I(age^2) + education + youngkids + oldkids + foreign
for (link in c("probit", "logit")) {
  fit <- glm(f, binomial(link), d, control = tight)
  case(link, fit, d, "swisslabor", "works ~ income + age + I(age^2) + education + youngkids + oldkids + foreign",
       list(family = "binomial", link = link), queries = list(
         avg(c("income", "age", "education", "youngkids", "oldkids", "foreign")),
         avg(c("age", "income"), at = list(foreign = list("no", "yes"), youngkids = list(0, 2))),
         avg("age", by = "foreign"), avg("age", scale = "link"), avg("age", kind = "contrast"),
         avg("age", values = list(2, 4, 6), reference = "sequential"),
         pred(by = "foreign"), pred(at = list(age = list(2, 4), foreign = list("no", "yes"))), pred(scale = "link")))
}

d <- read("ships", c("type", "year", "period"))
f <- incidents ~ type + year + period
text <- "incidents ~ type + year + period"
fit <- glm(f, poisson, d, offset = log_service, control = tight)
queries <- list(avg(c("type", "year", "period")), avg("type", reference = "pairwise"),
                avg("year", reference = "sequential", by = "period"), avg("log_service"),
                pred(by = "type"), pred(at = list(log_service = list(6, 8), type = list("A", "C"))))
case("poisson", fit, d, "ships", text, list(family = "poisson", offset = "log_service"), "log_service", queries = queries)
fit <- glm(f, quasipoisson, d, offset = log_service, control = tight)
case("quasipoisson", fit, d, "ships", text, list(family = "quasipoisson", offset = "log_service"), "log_service",
     queries = queries)

d <- read("wage1", c("female", "region"))
fit <- glm(wage ~ female * educ + exper + I(exper^2) + tenure + region, Gamma("log"), d, control = tight)
case("gamma log", fit, d, "wage1", "wage ~ female * educ + exper + I(exper^2) + tenure + region",
     list(family = "gamma", link = "log"), queries = list(
       avg(c("female", "educ", "exper", "tenure", "region")), avg("educ", at = list(female = list("no", "yes"))),
       avg("female", at = list(educ = list(8, 12, 16))), avg("exper", by = "region"), pred(by = "region"),
       pred(at = list(exper = list(1, 10, 30)))))
grid <- emmeans(fit, ~ female * region, at = list(educ = 12, exper = 10, tenure = 5))
s <- as.data.frame(regrid(grid))
emm <- list(at = list(educ = 12, exper = 10, tenure = 5), estimate = s$response, std_error = s$SE,
            female = as.character(s$female), region = as.character(s$region))
p <- as.data.frame(pairs(regrid(grid), simple = "female", reverse = TRUE))
emm$pairs <- list(estimate = p$estimate, std_error = p$SE, region = as.character(p$region))
fit <- glm(wage ~ educ + exper + tenure, Gamma("inverse"), d, control = tight)
case("gamma inverse", fit, d, "wage1", "wage ~ educ + exper + tenure", list(family = "gamma"), queries = list(
  avg(c("educ", "exper", "tenure")), pred(), avg("educ", at = list(tenure = list(0, 10)))))

d <- read("caschools", "grades")
fit <- lm(read ~ str * grades + english + lunch, d, weights = students)
fit$family <- gaussian()
case("gaussian", fit, d, "caschools", "read ~ str * grades + english + lunch",
     list(family = "gaussian", var_weights = "students"), queries = list(
       avg(c("str", "grades", "english", "lunch")), pred(by = "grades"), avg("grades", at = list(str = list(15, 25)))))
class(fit) <- "lm"
new <- d[1:6, ]
intervals <- list(new = suppressWarnings(predict(fit, new, interval = "prediction", level = 0.9)),
                  weighted = suppressWarnings(predict(fit, new, interval = "prediction", level = 0.9, weights = new$students)),
                  fitted = suppressWarnings(predict(fit, interval = "prediction"))[1:6, ])
plain <- lm(read ~ str * grades + english + lunch, d)
intervals$plain <- predict(plain, new, interval = "prediction")

d <- read("trees")
fit <- glm(Volume ~ log(Girth) + log(Height), inverse.gaussian("log"), d, control = tight)
case("inverse gaussian", fit, d, "trees", "Volume ~ log(Girth) + log(Height)",
     list(family = "inverse_gaussian", link = "log"), queries = list(
       avg(c("Girth", "Height")), pred(at = list(Girth = list(10, 15))), avg("Girth", values = list(10, 15, 20))))

d <- read("medpar", "type")
fit <- glm.nb(los ~ hmo + white + type, d, control = tight)
case("negative binomial", fit, d, "medpar", "los ~ hmo + white + type", list(family = "negative_binomial"), queries = list(
  avg(c("hmo", "type")), avg("hmo", values = list(0, 1)), pred(by = "type"), pred(at = list(hmo = list(0, 1)))))

d <- read("snails", "Species")
fit <- glm(cbind(dead, alive) ~ Species * temp + humidity, binomial("cloglog"), d, offset = log_exposure, control = tight)
case("cloglog", fit, d, "snails", "cbind(dead, alive) ~ Species * temp + humidity",
     list(family = "binomial", link = "cloglog", offset = "log_exposure"), "log_exposure", queries = list(
       avg(c("Species", "temp", "humidity")), avg("temp", by = "Species"), pred(at = list(log_exposure = list(0, 1)))))

write_json(list(r_version = R.version.string, emmeans = as.character(packageVersion("emmeans")), cases = cases,
                grid = emm, intervals = lapply(intervals, function(m) list(fit = m[, 1], lower = m[, 2], upper = m[, 3]))),
           "tests/reference/inference/margins/margins.json", digits = NA, auto_unbox = TRUE, null = "null")
