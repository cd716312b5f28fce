"""Contrast of the texts on a page, as WCAG 2 measures it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page


def faint(tab: Page) -> list[str]:
    """Texts with less than WCAG's contrast of 4.5 to what they stand on; patterned grounds are left out."""
    found: list[str] = tab.evaluate(
        """() => {
          const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
          const rgba = (colour) => {
            canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
            return [...canvas.getImageData(0, 0, 1, 1).data];
          };
          const linear = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
          const shares = [0.2126, 0.7152, 0.0722];
          const light = (rgb) => shares.reduce((sum, share, i) => sum + share * linear(rgb[i] / 255), 0);
          const ground = (element) => {
            for (let at = element; at; at = at.parentElement) {
              const style = getComputedStyle(at);
              if (style.backgroundImage !== "none") return null;
              if (rgba(style.backgroundColor)[3] === 255) return rgba(style.backgroundColor);
            }
          };
          const scope = document.querySelector("dialog[open]") ?? document.body;
          return [...scope.querySelectorAll("*")].filter((element) => {
            const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
            const under = own && element.offsetParent && !element.disabled && ground(element);
            if (!under) return false;
            const [a, b] = [light(rgba(getComputedStyle(element).color)), light(under)].sort((x, y) => y - x);
            return (a + 0.05) / (b + 0.05) < 4.5;
          }).map((element) => `${element.className || element.tagName}: ${element.textContent.slice(0, 40)}`);
        }"""
    )
    return found
