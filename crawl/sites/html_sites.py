"""The stock sites that are read by their search pages: what differs from one to the next, as data."""

from dataclasses import dataclass
from datetime import date
from typing import Annotated

from pydantic import Field

from crawl.sites.html_site import HtmlSite, HtmlSiteSettings
from crawl.source import Policy
from moodarchive.settings import SettingScope

_CC0 = ("cc0 1.0", "https://creativecommons.org/publicdomain/zero/1.0/")


class BurstSettings(HtmlSiteSettings):
    """How Burst by Shopify is asked."""

    base_url: Annotated[str, Field(pattern="^https?://"), SettingScope.GROWTH] = "https://burst.shopify.com"
    """Where the site lies."""


class EnvatoSettings(HtmlSiteSettings):
    """How Elements by Envato, a paid library, is asked."""

    base_url: Annotated[str, Field(pattern="^https?://"), SettingScope.GROWTH] = "https://elements.envato.com"
    """Where the site lies."""


class FoodiesfeedSettings(HtmlSiteSettings):
    """How Foodiesfeed is asked."""

    base_url: Annotated[str, Field(pattern="^https?://"), SettingScope.GROWTH] = "https://www.foodiesfeed.com"
    """Where the site lies."""


class FreenaturestockSettings(HtmlSiteSettings):
    """How Free Nature Stock is asked."""

    base_url: Annotated[str, Field(pattern="^https?://"), SettingScope.GROWTH] = "https://freenaturestock.com"
    """Where the site lies."""


@dataclass(frozen=True, kw_only=True)
class SiteLayout:
    """A site's terms, the paths of its search pages, and what of a page is a picture; fields as in HtmlSite."""

    terms_url: str
    terms_reviewed_on: date | None
    says: str
    first_path: str
    path: str
    links: str
    photo_page: str
    licence: str
    licence_url: str


LAYOUTS = {
    "burst": SiteLayout(
        terms_url="https://burst.shopify.com/terms",
        terms_reviewed_on=None,
        says="photos are under CC0 or Burst's own licence, and the terms were not read",
        first_path="/photos/search?q={phrase}&page={page}",
        path="/photos/search?q={phrase}&page={page}",
        links='a[href*="/photos/"]',
        photo_page="/photos/.",
        licence="burst",
        licence_url="https://burst.shopify.com/licenses/shopify-some-rights-reserved",
    ),
    "envato": SiteLayout(
        terms_url="https://elements.envato.com/license-terms",
        terms_reviewed_on=date(2026, 11, 1),
        says="the licence is paid, for one project at a time",
        first_path="/photos/{phrase}",
        path="/photos/{phrase}/pg-{page}",
        links='a[href*="-photo-"], a[href^="/"][data-testid*="title"]',
        photo_page="-photo-",
        licence="envato-elements",
        licence_url="https://elements.envato.com/license-terms",
    ),
    "foodiesfeed": SiteLayout(
        terms_url="https://www.foodiesfeed.com/terms-and-conditions/",
        terms_reviewed_on=None,
        says="photos are offered as CC0, but the site's terms were not read",
        first_path="/?s={phrase}",
        path="/page/{page}/?s={phrase}",
        links='article a[href], a[href*="/free-food-photo/"]',
        photo_page="/free-food-photo/.",
        licence=_CC0[0],
        licence_url=_CC0[1],
    ),
    "freenaturestock": SiteLayout(
        terms_url="https://freenaturestock.com/license/",
        terms_reviewed_on=None,
        says="photos are offered as CC0, but the site's terms were not read",
        first_path="/?s={phrase}",
        path="/page/{page}/?s={phrase}",
        links='article a[href], a[href*="/photo/"]',
        photo_page="/photo/.",
        licence=_CC0[0],
        licence_url=_CC0[1],
    ),
}


def make_html_site(name: str, settings: HtmlSiteSettings) -> HtmlSite:
    """The adapter of one of LAYOUTS."""
    layout = LAYOUTS[name]
    policy = Policy(
        mode="html",
        terms_url=layout.terms_url,
        terms_reviewed_on=layout.terms_reviewed_on,
        ml_allowed=False,
        redistribute_allowed=False,
        says=layout.says,
    )
    return HtmlSite(
        settings=settings,
        name=name,
        policy=policy,
        first_path=layout.first_path,
        path=layout.path,
        links=layout.links,
        photo_page=layout.photo_page,
        licence=layout.licence,
        licence_url=layout.licence_url,
    )
