"""Limits of requests that more than one room needs to know."""

PAGE_SIZE = 20  # items on a page where a request names no limit
MAX_PAGE_SIZE = 100
MAX_REQUESTED = 100  # product ids in one request: more than a page of any shop shows
